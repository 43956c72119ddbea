"""`millstream up` as a user runs it: a real process, real servers, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil
import pytest


class Up:
    """One run of the command; `url` once it has said `ready`."""

    def __init__(self, data: Path, *options: str, **environ: str) -> None:
        self.data = data
        self.log = data.parent / "up.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "millstream.cli", "up",
                    "--port", "0", "--data", str(data), *options,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "MILLSTREAM_GRACE": "1", **environ},
            )  # fmt: skip
        assert self.process.stdout is not None
        self._out = self.process.stdout
        line = self._out.readline()  # ends when the process does: no test hangs on a failed start
        assert line.startswith("ready http://127.0.0.1:"), self.log.read_text()
        self.url = line.split()[1]

    def roles(self) -> dict[int, str]:
        children = psutil.Process(self.process.pid).children()
        lines = {child.pid: child.cmdline() for child in children}
        return {pid: line[3] for pid, line in lines.items() if "millstream.cli" in line}

    def server_pids(self) -> list[int]:
        files = ((self.data / "servers" / f"{name}.json") for name in ("valkey", "postgres"))
        return [json.loads(file.read_text())["pid"] for file in files]

    def pids(self) -> list[int]:
        return [*self.roles(), *self.server_pids()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._out.close()
        return code

    def get(self, path: str) -> Any:
        with urlopen(f"{self.url}/api/v1{path}", timeout=40) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        headers = {"content-type": "application/json"}
        request = Request(f"{self.url}/api/v1{path}", json.dumps(body).encode(), headers)
        with urlopen(request, timeout=40) as answer:
            return json.load(answer)

    def readyz(self) -> int:
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            connection.request("GET", "/api/v1/readyz")
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "data"


@pytest.fixture
def up(data: Path) -> Iterator[Up]:
    running = Up(data, "--workers", "2")
    yield running
    if running.process.poll() is None:
        running.stop()


def _gone(pids: list[int]) -> bool:
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(processes, timeout=30)[1]


def test_up_runs_every_role_and_leaves_no_process(up: Up) -> None:
    assert sorted(up.roles().values()) == ["api", "projector", "worker", "worker"]
    assert up.readyz() == 200
    pids = up.pids()
    assert up.stop(signal.SIGINT) == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_second_signal_stops_at_once(up: Up) -> None:
    pids = up.pids()
    up.process.send_signal(signal.SIGTERM)
    up.stop()
    assert _gone(pids)


def test_a_role_that_dies_is_started_again(up: Up) -> None:
    victim = next(pid for pid, role in up.roles().items() if role == "worker")
    before = set(up.roles())
    os.kill(victim, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(victim)] if psutil.pid_exists(victim) else [], timeout=10)
    _await_log(up, "role ended, starting it again")
    assert before - set(up.roles()) == {victim}
    assert up.readyz() == 200


def test_a_worker_that_grows_too_large_is_replaced(data: Path) -> None:
    """Four jobs of 60 MB that stay: more than one worker may hold."""
    app = Path(__file__).parents[1] / "consumers" / "health_app.py"
    bound = {"MILLSTREAM_MAX_MEMORY": "250MiB"}
    up = Up(data, "--workers", "1", "--app", f"{app}:registry", **bound)
    try:
        leaks = [{"type": "leak", "payload": {"notes": "", "go": ""}, "max_attempts": 1}] * 6
        ids = [one["id"] for one in up.post("/jobs/batch", {"jobs": leaks})["items"]]
        for id in ids:
            assert up.get(f"/jobs/{id}?wait=30")["state"] == "succeeded"
        _await_log(up, "it took too much memory")
        assert up.readyz() == 200
    finally:
        up.stop()


def test_roles_notice_when_up_itself_is_killed(up: Up, data: Path) -> None:
    roles = list(up.roles())
    servers = up.server_pids()
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    assert _gone(roles)
    again = Up(data)
    assert again.server_pids() == servers  # left running, found and used
    assert again.stop() == 0
    assert _gone(servers)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [
                sys.executable, "-m", "millstream.cli", "up",
                "--port", str(port), "--data", str(tmp_path / "data"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip
    assert refused.returncode == 2
    assert f"got: {port}" in refused.stderr
    assert not (tmp_path / "data").exists()


def _await_log(up: Up, text: str) -> None:
    """Follow the log until `text` is written."""
    with subprocess.Popen(
        ["tail", "-n", "+1", "-F", str(up.log)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        next(line for line in tail.stdout if text in line)
        tail.kill()
