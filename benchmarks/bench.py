"""The stage of one benchmark: fresh servers, roles as real processes, and their CPU time."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from millstream.core import connection
from millstream.core.config import Settings
from millstream.core.embedded import servers
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory

QUEUE = "default"
NOOP_APP = str(Path(__file__).with_name("noop.py"))
_TICKS = os.sysconf("SC_CLK_TCK")


class Bench:
    """Fresh Valkey (AOF, everysec) and PostgreSQL in a folder that is thrown away."""

    def __init__(self, settings: Settings, folder: str, valkey_pid: int) -> None:
        self.settings = settings
        self.folder = Path(folder)
        self.valkey_pid = valkey_pid
        self.keys = Keys(settings.namespace)
        self.redis = connection.connect(settings.redis_url, timeout=120)
        self.directory = Directory(self.redis, self.keys)
        self.queue = self.directory.queue(QUEUE)
        self.log = LogReader(self.redis, self.keys)

    async def seq(self) -> int:
        """Last seq of the log."""
        return (await self.log.head(QUEUE)).seq

    async def until_seq(self, seq: int, deadline: float = 600) -> None:
        """Wait until the log has reached `seq`."""
        with anyio.fail_after(deadline):
            while await self.seq() < seq:
                await anyio.sleep(0.02)

    async def at_rest(self) -> None:
        """Wait until filling the queue is over: its file rewritten, its tables grown, all on disk.

        A table that grew moves to its new size bit by bit, at the cost of the commands that come.
        """
        with anyio.fail_after(300):
            while await self._busy():
                await anyio.sleep(0.1)
        await anyio.to_thread.run_sync(os.sync)

    async def _busy(self) -> bool:
        rewriting = (await self.redis.info("persistence"))["aof_rewrite_in_progress"]
        growing = (await self.redis.info("memory")).get("mem_overhead_db_hashtable_rehashing", 0)
        return bool(rewriting or growing)

    async def last_entry(self) -> str:
        """Stream id of the log's last entry."""
        entries: Any = await self.redis.execute_command(
            "XREVRANGE", self.keys.log(QUEUE), "+", "-", "COUNT", 1
        )
        return entries[0][0].decode() if entries else "0-0"

    async def memory(self) -> int:
        """Bytes Valkey uses for data."""
        return (await self.redis.info("memory"))["used_memory"]

    def valkey_cpu(self) -> float:
        """CPU seconds of the thread that runs commands."""
        return thread_seconds(self.valkey_pid)

    @contextmanager
    def role(self, *args: str, **extra: object) -> Generator[subprocess.Popen[bytes]]:
        """Run `millstream <args>` beside this process; it is up when this yields."""
        read, write = os.pipe()
        os.set_inheritable(write, True)
        environ = role_environ(self.settings, extra) | {"MILLSTREAM_NOTIFY_FD": str(write)}
        with (self.folder / f"{args[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "millstream.cli", *args],
                env=environ,
                pass_fds=[write],
                stderr=log,
                stdout=log,
            )
        os.close(write)
        try:
            with os.fdopen(read, "rb") as ready:
                if not ready.readline():
                    raise RuntimeError(f"millstream {args[0]} did not start: see {log.name}")
            yield process
        finally:
            process.terminate()
            process.wait(30)


def role_environ(settings: Settings, extra: Mapping[str, object]) -> dict[str, str]:
    """Environment of a role: this one's, the servers of the stage, and `extra` settings."""
    given = {"redis_url": settings.redis_url, "postgres_dsn": settings.postgres_dsn, **extra}
    given.setdefault("log_level", "warning")
    environ = {name: value for name, value in os.environ.items() if "MILLSTREAM" not in name}
    return environ | {f"MILLSTREAM_{name.upper()}": str(value) for name, value in given.items()}


@asynccontextmanager
async def stage(*, tables: bool = True) -> AsyncGenerator[Bench]:
    """A fresh stage, with PostgreSQL if there are to be tables; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        elsewhere = frozenset[str]() if tables else frozenset({"postgres_dsn"})
        local = servers(folder, Settings(explicit=elsewhere))
        with local as settings:
            assert local.valkey is not None
            bench = Bench(settings, folder, local.valkey.pid)
            await bench.directory.register(QUEUE)
            try:
                yield bench
            finally:
                await bench.redis.aclose()


def thread_seconds(pid: int) -> float:
    """CPU seconds of a process's main thread."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def threads_seconds(pid: int) -> float:
    """CPU seconds of all threads a process has, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def process_seconds(pid: int) -> float:
    """CPU seconds of a whole process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def timed() -> Generator[list[float]]:
    """Seconds the block took, as the only item of the list it yields."""
    spent = [0.0]
    begin = time.perf_counter()
    yield spent
    spent[0] = time.perf_counter() - begin
