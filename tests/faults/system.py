"""The whole system as real processes on servers of its own, to be hurt."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded.ports import free_port
from millstream.core.embedded.postgres import Postgres
from millstream.core.embedded.valkey import Valkey
from millstream.projections.migrations import migrate

APP = str(Path(__file__).with_name("app.py"))


class System:
    """Servers, and the roles started on them; `client` talks to the API."""

    def __init__(self, folder: Path, valkey: Valkey, postgres: Postgres) -> None:
        self.folder = folder
        self.valkey = valkey
        self.postgres = postgres
        self.port = free_port()
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.accepted: list[str] = []
        self.leases: dict[str, float] = {}
        self._roles = ExitStack()

    @property
    def settings(self) -> Settings:
        """Settings of every role that is started now. Leases are long: none expires by itself."""
        given: dict[str, Any] = {
            "redis_url": self.valkey.url,
            "postgres_dsn": self.postgres.dsn,
            "sweep": 0.2,
            **self.leases,
        }
        return Settings(**given, explicit=frozenset(given))

    def shorten_leases(self) -> None:
        """Whoever is started from now on takes leases back that were not renewed for 2.5 s."""
        self.leases = {"lease": 2.5, "command_timeout": 1.2}

    def start(self, name: str, *args: str) -> subprocess.Popen[bytes]:
        """Start `millstream <args>` as `name`, and wait until it serves."""
        read, write = os.pipe()
        log = (self.folder / f"{name}.log").open("ab")
        environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
        process = subprocess.Popen(
            [sys.executable, "-m", "millstream.cli", *args],
            env=environ | config.as_environ(self.settings) | {"MILLSTREAM_NOTIFY_FD": str(write)},
            pass_fds=[write],
            stdout=log,
            stderr=log,
        )
        os.close(write)
        log.close()
        self._roles.callback(_end, process)
        with os.fdopen(read, "rb") as ready:
            assert ready.readline() == b"ready\n", (self.folder / f"{name}.log").read_text()
        self.processes[name] = process
        return process

    def start_all(self) -> None:
        """One of each role."""
        self.start("api", "api", "--port", str(self.port))
        self.start("projector", "projector")
        self.start("worker", "worker", "--app", APP)

    async def submit(self, type_: str, payload: object, **more: object) -> str | None:
        """Submit one job; its id if that was acknowledged, None if refused as unavailable."""
        body = {"type": type_, "payload": payload, **more}
        answer = await self.client.post("/api/v1/jobs", json=body)
        if answer.status_code == 503:
            return None
        assert answer.status_code == 201, answer.text
        job = answer.json()["id"]
        self.accepted.append(job)
        return job

    async def job(self, job: str) -> dict[str, Any]:
        """The job as the API shows it; waits up to ten seconds until it has ended."""
        answer = await self.client.get(f"/api/v1/jobs/{job}", params={"wait": 10})
        return answer.json()

    async def running(self, *jobs: str) -> None:
        """Wait until the tables show these jobs as running."""

        async def all_run() -> bool:
            return all([(await self.state(job)) == "running" for job in jobs])

        await until(all_run)

    async def state(self, job: str) -> str | None:
        """The job's state, as far as the tables know."""
        answer = await self.client.get(f"/api/v1/jobs/{job}")
        return answer.json().get("state")

    async def ended(self, seconds: float = 120) -> None:
        """Wait until the tables show every accepted job as ended."""
        with anyio.fail_after(seconds):
            for job in self.accepted:
                while (await self.job(job)).get("finished_at") is None:
                    await anyio.sleep(0.05)

    async def aclose(self) -> None:
        """Stop the roles."""
        await self.client.aclose()
        self._roles.close()


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[System]:
    """A system whose servers sync each write, so that what was acknowledged must survive."""
    valkey = Valkey(folder / "a", appendfsync="always")
    postgres = Postgres(folder / "a")
    valkey.start()
    valkey.pin_port()
    try:
        postgres.start()
        postgres.pin_port()
        await migrate(postgres.dsn)
        system = System(folder, valkey, postgres)
        try:
            system.start_all()
            yield system
        finally:
            await system.aclose()
    finally:
        postgres.stop()
        valkey.stop()


async def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until an async condition holds."""
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
