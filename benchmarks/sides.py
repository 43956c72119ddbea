"""One of two systems that are compared: a worker that takes jobs, by turns with the other one."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from millstream.core.events import Command
from millstream.projections.migrations import migrate

from .bench import Bench, stage, threads_seconds
from .jobs import fill
from .project import projected
from .roles import projector
from .work import CONCURRENCY

APPS = Path(__file__).with_name("apps")

_BY = Command("benchmark")


async def nothing(bench: Bench) -> None:
    """Prepare nothing."""


class System(msgspec.Struct, frozen=True):
    """What a system is made of.

    prepare   brings what is there before the jobs come
    settings  of its roles, beside those of the stage
    apps      files of `apps/` that its worker loads
    tables    whether there is a projector, and PostgreSQL
    beside    a role or client that is there all the time
    """

    prepare: Callable[[Bench], Awaitable[None]] = nothing
    settings: dict[str, object] = {}
    apps: tuple[str, ...] = ("bare",)
    tables: bool = False
    beside: Callable[[Bench], AbstractAsyncContextManager[object]] | None = None


class Costs(NamedTuple):
    """What a job cost, in seconds: of processors (0: there is no projector), and of the clock."""

    worker: float
    claimed: float
    submitted: float
    projector: float
    clock: float


class Side:
    """A system that runs: its worker and its projector (None: it has no tables) by their pids.

    Its queue is paused but for its turns.
    """

    def __init__(self, bench: Bench, worker: int, projector: int | None) -> None:
        self._bench = bench
        self._worker = worker
        self._projector = projector

    async def turn(self, count: int) -> Costs:
        """Submit `count` jobs, have them run, and have them in the tables if there are any."""
        bench, folded = self._bench, self._folding()
        submitted = bench.valkey_cpu()
        await fill(bench, count)
        submitted, claimed = bench.valkey_cpu() - submitted, bench.valkey_cpu()
        target = await bench.seq() + 1 + 2 * count
        worker, began = threads_seconds(self._worker), await self._now()
        await bench.queue.set_mode("open", _BY)
        await bench.until_seq(target)
        claimed, worker = bench.valkey_cpu() - claimed, threads_seconds(self._worker) - worker
        took = int((await bench.last_entry()).split("-")[0]) / 1e3 - began
        if self._projector is not None:
            await projected(bench, target)
        folded = self._folding() - folded
        await bench.queue.set_mode("paused", _BY)
        each = (worker, claimed, submitted, folded, took)
        return Costs(*(cost / count for cost in each))

    def _folding(self) -> float:
        return 0.0 if self._projector is None else threads_seconds(self._projector)

    async def _now(self) -> float:
        seconds, micros = await self._bench.redis.time()
        return seconds + micros / 1e6


@asynccontextmanager
async def side(system: System) -> AsyncGenerator[Side]:
    """Fresh servers, prepared, with the roles of the system."""
    async with stage(tables=system.tables) as bench, AsyncExitStack() as roles:
        if system.tables:
            await migrate(bench.settings.postgres_dsn)
        await system.prepare(bench)
        await bench.queue.set_mode("paused", _BY)
        folding = None
        if system.tables:
            folding = roles.enter_context(projector(bench, **system.settings))
        if system.beside is not None:
            await roles.enter_async_context(system.beside(bench))
        apps = [arg for app in system.apps for arg in ("--app", str(APPS / f"{app}.py"))]
        worker = roles.enter_context(
            bench.role("worker", *apps, concurrency=CONCURRENCY, **system.settings)
        )
        yield Side(bench, worker.pid, folding)
