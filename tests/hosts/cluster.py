"""One Valkey on the hub, and a worker process on each host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import redis

from millstream.core import config
from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.embedded import Valkey
from millstream.core.embedded.process import State
from millstream.core.ids import new_ids
from millstream.core.keys import Keys
from millstream.core.queue import PartitionQueue, new_job
from millstream.core.upcast import decode
from tests.invariants import Report, check, read_log

from .network import HUB_ADDRESS, Network

APP = str(Path(__file__).with_name("app.py"))
QUEUE = "default"
HOSTS = 3
LEASE = 4.0
SLOTS = 4


class HubValkey(Valkey):
    """Serves the hosts on the hub's address, and the test, which is outside, on a socket."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.socket = folder / "hub.sock"
        super().__init__(folder, options={"bind": HUB_ADDRESS, "unixsocket": str(self.socket)})
        self._network = network

    @property
    def url(self) -> str:
        """For the hosts."""
        return f"redis://:{self.password}@{HUB_ADDRESS}:{self.port}/0"

    @property
    def url_outside(self) -> str:
        """For the test."""
        return f"unix://:{self.password}@{self.socket}?db=0"

    def command(self, port: int) -> Sequence[str]:
        return [*self._network.inside(self._network.hub), *super().command(port)]

    def answers(self, state: State) -> bool:
        try:
            with redis.Redis.from_url(self.url_outside) as client:
                info: Any = client.info("server")
        except redis.RedisError:
            return False
        return info["process_id"] == state.pid


class Cluster:
    """The hosts at work. `names`: host → name of its worker, as events tell it."""

    def __init__(self, folder: Path, network: Network, valkey: HubValkey) -> None:
        self.folder = folder
        self.network = network
        self.valkey = valkey
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.names: dict[int, str] = {}
        self.accepted: list[str] = []
        self.redis: Any = connect(valkey.url_outside, timeout=10)
        self.queue = PartitionQueue(self.redis, QUEUE, Keys())
        self._processes = ExitStack()

    async def start_workers(self) -> None:
        """One on each host; returns when all serve."""
        begun = {host: self._start(host) for host in self.network.hosts}
        for host, read in begun.items():
            with os.fdopen(read, "rb") as ready:
                assert ready.readline() == b"ready\n", self.log_of(host).read_text()
        for host, worker in self.workers.items():
            # Names hold the pid, which `ip netns exec` does not change.
            found = [
                event.worker
                for record in await self.log()
                if isinstance(event := decode(record), ev.WorkerStarted)
                and f"-{worker.pid}-" in event.worker
            ]
            assert len(found) == 1, f"host {host}: expected one worker, got {found}"
            self.names[host] = found[0]

    def _start(self, host: int) -> int:
        """Start a worker; the file descriptor on which it says that it is ready."""
        given: dict[str, Any] = {
            "redis_url": self.valkey.url,
            "lease": LEASE,
            "command_timeout": 1.5,
            "sweep": 0.2,
            "concurrency": SLOTS,
        }
        settings = Settings(**given, explicit=frozenset(given))
        environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
        read, write = os.pipe()
        environ |= config.as_environ(settings) | {
            "MILLSTREAM_NOTIFY_FD": str(write),
            "TEST_HOST": str(host),
            "TEST_FOLDER": str(self.folder),
        }
        with self.log_of(host).open("ab") as log:
            process = subprocess.Popen(
                [
                    *self.network.inside(self.network.host(host)),
                    *(sys.executable, "-m", "millstream.cli", "worker", "--app", APP),
                ],
                env=environ,
                pass_fds=[write],
                stdout=log,
                stderr=log,
            )
        os.close(write)
        self._processes.callback(_end, process)
        self.workers[host] = process
        return read

    def log_of(self, host: int) -> Path:
        """What the worker of a host says."""
        return self.folder / f"worker-{host}.log"

    def let_go(self, host: int, *jobs: str) -> None:
        """Let held jobs finish on a host: these, or all."""
        for name in [f"go-{host}-{job}" for job in jobs] or [f"go-{host}"]:
            (self.folder / name).touch()

    def done_on(self, host: int) -> set[str]:
        """Held jobs whose handlers came to their end on a host."""
        prefix = f"done-{host}-"
        return {one.name.removeprefix(prefix) for one in self.folder.glob(f"{prefix}*")}

    async def submit(self, type_: str, count: int) -> list[str]:
        """Submit jobs, as the one submitter there is."""
        spec = ev.JobSubmitted(type_)
        ids = list(new_ids(QUEUE, count))
        await self.queue.submit([new_job(id, spec) for id in ids])
        self.accepted += ids
        return ids

    async def log(self) -> list[ev.Record]:
        return await read_log(self.redis, Keys(), QUEUE)

    async def starts(self, jobs: Sequence[str]) -> dict[str, list[int]]:
        """Job → hosts it was started on, in their order."""
        host_of = {name: host for host, name in self.names.items()}
        found: dict[str, list[int]] = {job: [] for job in jobs}
        for record in await self.log():
            event = decode(record)
            if record.job in found and isinstance(event, ev.JobStarted):
                found[record.job].append(host_of[event.worker])
        return found

    async def results(self, jobs: Sequence[str]) -> dict[str, list[int]]:
        """Job → hosts whose completions were accepted."""
        found: dict[str, list[int]] = {job: [] for job in jobs}
        for record in await self.log():
            event = decode(record)
            if record.job in found and isinstance(event, ev.JobSucceeded):
                found[record.job].append(int(event.result.decode(str)))
        return found

    async def succeeded(self, jobs: Sequence[str]) -> None:
        """Wait until all of them have."""

        async def all_have() -> bool:
            return all((await self.results(jobs)).values())

        await until(all_have)

    async def audit(self) -> Report:
        """Nothing is left to do, and the invariants hold."""
        report = await check(
            self.valkey.url_outside, [QUEUE], acknowledged=self.accepted, drained=True
        )
        return report.require()

    async def aclose(self) -> None:
        self._processes.close()
        await self.redis.aclose()


@contextmanager
def hub(folder: Path) -> Generator[tuple[Network, HubValkey]]:
    """The network and its server; all is gone afterwards, whatever happened."""
    with Network(HOSTS) as network:
        valkey = HubValkey(folder, network)
        valkey.start()
        try:
            yield network, valkey
        finally:
            valkey.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
    """Wait until a condition holds."""
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
