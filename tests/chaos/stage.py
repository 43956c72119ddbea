"""The whole system on servers of its own: each role behind proxies, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import msgspec
from anyio import to_thread

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded.ports import free_port
from millstream.core.embedded.postgres import Postgres
from millstream.core.embedded.valkey import Valkey
from millstream.projections.migrations import migrate

from .plan import LINKS, ROLES, WORKERS
from .proxy import Proxy

APP = str(Path(__file__).with_name("app.py"))
LEASE = 3.0
MAX_CRASHES = 5
STARTS_WITHIN = 60.0
ENDS_WITHIN = 30.0

BOUNDS: dict[str, Any] = {
    "lease": LEASE,
    "command_timeout": 1.2,
    "sweep": 0.2,
    "grace": 1.0,
    "concurrency": 40,
    "max_crashes": MAX_CRASHES,
    "processes": 4,
    "erasure_secret": "5e" * 32,
    "queues": ("*",),
    "log_margin": 2000,
    "projector_batch": 1000,
    "log_format": "json",
}
"""Short leases, and a short log: much is to happen in a short time, trimming among it."""


class Exit(msgspec.Struct, frozen=True):
    """A role that ended; `ordered`: we had told it to. Times are seconds since 1970."""

    role: str
    pid: int
    code: int
    ordered: bool
    time: float


class Role:
    """A process that is started again whenever it ends, until it is told to stop."""

    def __init__(self, name: str, folder: Path, command: list[str], settings: Settings) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.pids: set[int] = set()
        self._folder = folder
        self._command = command
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: tuple[int, int] | None = None
        self._ordered = False
        self._over = False
        self.pause = 0.0

    async def keep(self, exits: list[Exit], *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Start it, and again when it ends. A start that fails is tried again."""
        told = False
        while not self._over:
            process, ready = self._spawn()
            served = await to_thread.run_sync(_says_ready, ready, abandon_on_cancel=True)
            if served and not told:
                told = True
                task_status.started()
            while process.poll() is None:
                await anyio.sleep(0.02)
            if self._over:
                return
            ordered = self._ordered or not served
            exits.append(Exit(self.name, process.pid, process.returncode, ordered, time.time()))
            await anyio.sleep(self.pause if served else 0.2)
            self._ordered = False

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        self._ordered = self._ordered or number in (signal.SIGKILL, signal.SIGTERM)
        if self._process is not None:
            self._process.send_signal(number)

    def end(self) -> None:
        """Have it end for good, by force if it must be."""
        self._over = True
        process = self._process
        if process is not None and process.poll() is None:
            _end(process)
        if self._lifeline is not None:
            for descriptor in self._lifeline:
                os.close(descriptor)
            self._lifeline = None

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        read, write = os.pipe()
        if self._lifeline is None:
            self._lifeline = os.pipe()  # its other end goes with us, and the process with it
        environ = (
            _environ()
            | config.as_environ(self._settings)
            | {
                "MILLSTREAM_NOTIFY_FD": str(write),
                "MILLSTREAM_LIFELINE_FD": str(self._lifeline[0]),
                "CHAOS_FOLDER": str(self._folder),
            }
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millstream.cli", *self._command],
                env=environ,
                pass_fds=[write, self._lifeline[0]],
                stdout=log,
                stderr=log,
            )
        os.close(write)
        self.pids.add(self._process.pid)
        return self._process, read


class Stage:
    """Servers, proxies (by link) and roles (by name). `exits`: of roles, in their order."""

    def __init__(self, folder: Path, valkey: Valkey, postgres: Postgres) -> None:
        self.folder = folder
        self.valkey = valkey
        self.postgres = postgres
        self.api = free_port()
        self.roles: dict[str, Role] = {}
        self.proxies: dict[str, Proxy] = {}
        self.exits: list[Exit] = []

    async def start(self, group: anyio.abc.TaskGroup) -> None:
        """Start proxies and roles; returns when all roles serve."""
        for link in LINKS:
            server = self.valkey if link.endswith("valkey") else self.postgres
            self.proxies[link] = Proxy(server.port)
            await self.proxies[link].start()
        commands = {
            "api": ["api", "--port", str(self.api)],
            "projector": ["projector"],
            **{worker: ["worker", "--app", APP] for worker in WORKERS},
        }
        for name in ROLES:
            settings = self._settings(name)
            role = self.roles[name] = Role(name, self.folder, commands[name], settings)
            with anyio.move_on_after(STARTS_WITHIN) as scope:
                await group.start(role.keep, self.exits)
            assert not scope.cancelled_caught, f"{name} does not start:\n{role.last_words()}"

    def role_of(self, worker: str) -> str | None:
        """The role that a worker's name, as in events, stands for."""
        for role in self.roles.values():
            if any(f"-{pid}-" in worker for pid in role.pids):
                return role.name
        return None

    async def command(self, *words: str) -> tuple[int, str]:
        """Run the command line beside the roles, with no proxy between; exit code and output."""
        settings = Settings(
            redis_url=self.valkey.url,
            postgres_dsn=self.postgres.dsn,
            explicit=frozenset({"redis_url", "postgres_dsn"}),
        )
        done = await anyio.run_process(
            [sys.executable, "-m", "millstream.cli", *words],
            env=_environ() | config.as_environ(settings),
            check=False,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode()

    async def halt(self, *names: str) -> None:
        """End these roles for good."""
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(to_thread.run_sync, self.roles[name].end)

    async def aclose(self) -> None:
        """Stop proxies and roles."""
        for proxy in self.proxies.values():
            proxy.heal()
        await self.halt(*self.roles)
        for proxy in self.proxies.values():
            await proxy.aclose()

    def _settings(self, role: str) -> Settings:
        given = dict(BOUNDS)
        given["redis_url"] = _by_port(self.valkey.url, self.proxies[f"{role}>valkey"].port)
        link = f"{role}>postgres"
        if link in self.proxies:
            given["postgres_dsn"] = _by_port(self.postgres.dsn, self.proxies[link].port)
        return Settings(**given, explicit=frozenset(given))


@asynccontextmanager
async def raised(folder: Path) -> AsyncGenerator[Stage]:
    """The servers, which sync each write, so that what was acknowledged must survive."""
    valkey = Valkey(folder, appendfsync="always")
    postgres = Postgres(folder, options={"shared_buffers": "64MB", "max_wal_size": "512MB"})
    try:
        for server in (valkey, postgres):
            await to_thread.run_sync(server.start)
            server.pin_port()
        await migrate(postgres.dsn)
        yield Stage(folder, valkey, postgres)
    finally:
        with anyio.CancelScope(shield=True):
            for stop in (postgres.stop, valkey.stop):
                await to_thread.run_sync(_continued, valkey)
                await to_thread.run_sync(stop)


def _environ() -> dict[str, str]:
    """Our own, without settings."""
    return {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, also one that is frozen; then force it."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _continued(valkey: Valkey) -> None:
    with suppress(ProcessLookupError):
        valkey.kill(signal.SIGCONT)


def _says_ready(descriptor: int) -> bool:
    with os.fdopen(descriptor, "rb") as ready:
        return ready.readline() == b"ready\n"


def _by_port(url: str, port: int) -> str:
    """The same server through another port."""
    parts = urlsplit(url)
    address, _, _ = parts.netloc.rpartition(":")
    return parts._replace(netloc=f"{address}:{port}").geturl()
