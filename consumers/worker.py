"""A worker: its parts, and their life from start to drain."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from ..core.config import Settings
from ..core.connection import check_server, connect, connect_blocking, connect_sync
from ..core.errors import LogLost, MillstreamError, Unavailable
from ..core.events import WorkerStarted, WorkerStopped
from ..core.joining import Joiner
from ..core.keys import Keys
from ..core.queue import Directory, Finish
from ..core.renewing import LeaseRenewer
from ..core.schedule_index import Schedules
from ..core.schedules import Schedule
from ..core.shapes import document_of
from ..core.workers import Workers
from .attempts import Attempt, Stop
from .bells import BLOCK, Bells
from .committer import Committer, Given
from .declared import declare
from .durable import Durable
from .elsewhere import Elsewhere
from .executor import Executor
from .fetching import Fetcher
from .handlers import Registry
from .health import FETCHES_NO_MORE, Health
from .identity import worker_name
from .leases import TO_CANCEL, LeaseKeeper
from .lookout import Lookout
from .maintenance import Maintenance
from .parts import begin, end
from .processes import Processes
from .reporting import Reporter
from .runners import Runners
from .scheduling import Scheduling
from .slots import Slots
from .stats import Stats
from .threads import Threads

_log = structlog.stdlib.get_logger("millstream.worker")

GIVE_IN = 1.0
"""Seconds interrupted handlers have at the end of a drain."""

FLUSH = 2.0
"""Seconds the last verdicts may take at least; a server that is gone must not keep the worker."""


class Worker:
    """Runs the jobs of its queues with the handlers of a registry.

    `await start()`, then `await drain()`; `stats` counts what happened. One per event loop task
    that starts it; all its work is done in tasks of its own. `apps`: where the registry came from,
    for processes to load; without them no job runs in one.
    """

    def __init__(self, settings: Settings, registry: Registry, apps: Sequence[str] = ()) -> None:
        self.name = worker_name()
        self.stats = Stats()
        self.settings = settings
        self.registry = registry
        url, timeout = settings.redis_url, settings.command_timeout
        self._redis = connect(url, timeout=timeout)
        self._blocking = connect_blocking(url, block=BLOCK, timeout=timeout)
        self._keys = Keys(settings.namespace)
        self.directory = Directory(self._redis, self._keys)
        self.schedules = Schedules(self._redis, self._keys, self.directory)
        self._scheduling = Scheduling(
            self.schedules, self.directory.subject_keys, lambda: self.queues, settings.sweep
        )
        self.slots = Slots(settings.concurrency)
        self._threads = Threads(settings.concurrency)
        self._durable = Durable(self.directory, registry, settings, self._told)
        self._processes = Processes(settings, registry, apps, self.name, self.slots)
        workers = Workers(self._redis, self._keys)
        self._started = WorkerStarted(self.name, sorted(handler.type for handler in registry))
        self._elsewhere = Elsewhere(workers, self.name, lambda: self.queues)
        self._executor = Executor(
            registry, self._deliver, self._threads, self.stats, settings.handler_missing_after,
            self._durable, self._processes, settings.max_result_bytes, self._elsewhere.knows,
        )  # fmt: skip
        self._runners = Runners(self.slots, self._executor.execute)
        self._fetcher = Fetcher(
            self.name, self.slots, self._runners.put, self.stats,
            batch=settings.fetch_batch, sweep=settings.sweep,
        )  # fmt: skip
        self._bells = self._fetcher.bells = Bells(self._blocking, self._keys, self._fetcher.rung)
        self._joiner = Joiner(self.directory)
        self._maintenance = Maintenance(
            self._joiner,
            sweep=settings.sweep, lease=settings.lease, max_crashes=settings.max_crashes,
        )  # fmt: skip
        self._lookout = Lookout(workers, self.directory, lambda: self.queues, self._started)
        self._reporter = Reporter(
            workers, self.name, self.slots, self.stats, lambda: self.queues, self._started.types,
            settings.code_version, self._takes(), self._lookout.back,
        )  # fmt: skip
        self.health = Health(
            settings, self.name, self.slots, self.stats, self._reporter.now, self._given,
            self._processes.kill,
        )  # fmt: skip
        self._committers: dict[str, Committer] = {}
        self._keeper: LeaseKeeper | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._committing: list[asyncio.Task[None]] = []
        self._telling: list[asyncio.Task[None]] = []

    @property
    def queues(self) -> list[str]:
        """The partitions served now."""
        return list(self._committers)

    def _given(self) -> list[Given]:
        """The verdicts not answered yet; from a thread, too."""
        return [given for one in list(self._committers.values()) for given in one.given()]

    async def start(self) -> None:
        """Serve. Waits while Redis cannot be reached; raises ServerUnfit, ConfigError."""
        self.health.check()
        self._durable.start()
        await _until_reached(self._prepare)
        client = connect_sync(self.settings.redis_url, timeout=self.settings.command_timeout)
        renewer = LeaseRenewer(client, self._keys, self.name)
        loop = asyncio.get_running_loop()
        self._keeper = LeaseKeeper(
            client, renewer, self.slots, self.settings.lease,
            lambda news: loop.call_soon_threadsafe(self._told, news),
        )  # fmt: skip
        self._keeper.start()
        self._fetching = begin("fetch", self._fetcher.run)
        parts = {
            "bells": self._bells.run,
            "maintenance": self._maintenance.run,
            "joins": self._joiner.run,
            "schedules": self._scheduling.run,
            "health": self.health.run,
            "lookout": self._lookout.run,
            "elsewhere": self._elsewhere.run,
        }
        if "*" in self.settings.queues or await self._not_served():
            parts["queues"] = self._find_queues
        self._tasks += [begin(name, run) for name, run in parts.items()]
        self._telling.append(begin("reports", self._reporter.run))
        self.health.start()
        _log.info("serving", worker=self.name, queues=sorted(self.queues),
                  types=len(self.registry), concurrency=self.settings.concurrency)  # fmt: skip

    async def drain(self, grace: float | None = None) -> None:
        """Stop in good order: fetch no more, let handlers finish, hand back the rest.

        Takes at most `grace` seconds (by default that of the settings) and a few more, also when
        Redis is gone.
        """
        grace = self.settings.grace if grace is None else grace
        ends = time.monotonic() + grace
        _log.info("draining", worker=self.name, running=self.slots.taken, grace=grace)
        self.health.drains()
        self._reporter.draining = True
        await self._politely(self._reporter.report)
        await self._stop_fetching()
        self._stop_all(self._runners.take_waiting())
        if not await self._until_settled(grace):
            self._stop_all(list(self.slots.held))
            if not await self._until_settled(GIVE_IN):
                self._processes.kill()  # before another worker can be given what runs in them
                for attempt in list(self.slots.held):
                    self._executor.settle_stopped(attempt)
        await self._flush(max(FLUSH, ends - time.monotonic()))
        await end(self._telling)  # until now: a drain may take long, and is no silence
        await self._leave()
        await self.close()

    async def close(self) -> None:
        """Stop at once: what runs is left to the expiry of its lease."""
        self.health.stop()
        if self._keeper is not None:
            self._keeper.stop()
        fetching = [self._fetching] if self._fetching else []
        await end([*self._tasks, *self._committing, *self._telling, *fetching])
        self._processes.kill()
        await self._runners.stop()
        await self._processes.stop()
        await self._durable.stop()
        self._threads.stop()
        await self._blocking.aclose()
        await self._redis.aclose()

    async def _prepare(self) -> None:
        await check_server(self._redis)
        await self._reporter.introduce()
        for partition in await self._wanted_queues():
            await self._try_to_serve(partition)
        types = {handler.type: handler.announcement() for handler in self.registry}
        await self.directory.announce_types(types)
        await declare(self.schedules, self._declared(), self.name)

    def _takes(self) -> bytes:
        """The shapes of the payloads that handlers declare."""
        return document_of({handler.type: handler.payload_type for handler in self.registry})

    def _declared(self) -> list[Schedule]:
        """The schedules of handlers whose queue is served here."""
        found = [handler.schedule for handler in self.registry if handler.schedule is not None]
        return [schedule for schedule in found if schedule.queue in self._committers]

    async def _wanted_queues(self) -> set[str]:
        named = {"default"} | self.registry.queues
        if "*" in self.settings.queues:
            return named | set(await self.directory.partitions())
        return set(self.settings.weights) if "queues" in self.settings.explicit else named

    async def _not_served(self) -> set[str]:
        return await self._wanted_queues() - self._committers.keys()

    async def _try_to_serve(self, partition: str) -> None:
        """Serve a partition, unless it is halted: that must not keep the worker from the others."""
        try:
            await self._serve(partition)
        except LogLost as error:
            _log.warning("a queue is halted: it is served once it is restored", queue=partition,
                         error=str(error))  # fmt: skip

    async def _serve(self, partition: str) -> None:
        """Begin to serve a partition, once."""
        if partition in self._committers:
            return
        queue = self.directory.queue(partition)
        queue.on_awaited = self._joiner.wake
        await self.directory.register(partition)
        types = {handler.type: handler.announcement() for handler in self.registry}
        await queue.announce(self._started, types)
        committer = self._committers[partition] = Committer(queue, self.slots, self.stats)
        self._committing.append(begin(f"committer {partition}", committer.run))
        self._maintenance.add(queue)
        self._bells.add(partition)
        self._fetcher.add(queue, self.settings.weights.get(partition, 1))

    async def _find_queues(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep)
            try:
                wanted = await self._not_served()
                for partition in wanted:
                    await self._try_to_serve(partition)
                if not wanted.isdisjoint(self._committers):
                    await declare(self.schedules, self._declared(), self.name)
            except MillstreamError as error:
                _log.warning("new queues cannot be looked for", error=str(error))

    def _deliver(self, attempt: Attempt, finish: Finish) -> None:
        self.stats.verdicts[finish.verdict] += 1
        self._committers[attempt.lease.partition].add(attempt, finish)

    def _told(self, news: list[tuple[Attempt, int]]) -> None:
        """The lease thread's news, on the loop."""
        for attempt, reply in news:
            if attempt.settled:
                continue  # its verdict is on its way, and will be answered for itself
            if reply == TO_CANCEL:
                self._executor.stop(attempt, Stop.CANCEL)
            else:
                _log.warning("lease lost", job=attempt.lease.id, fence=attempt.lease.fence)
                self._executor.stop(attempt, Stop.LOST)
                self.slots.settle([attempt])

    async def _stop_fetching(self) -> None:
        listening = self._bells.listening
        await end(self._tasks)
        self._fetcher.stop()
        if self._fetching is not None:
            # What a claim on its way gives is handed back, too; but one that hangs is given up.
            hangs = self.health.retirement == FETCHES_NO_MORE
            patience = 0.0 if hangs else 4 * self.settings.command_timeout
            await asyncio.wait({self._fetching}, timeout=patience)
            await end([self._fetching])
        if listening:
            # The read we broke off may have taken a token somebody else should have.
            await self._politely(lambda: self._each_queue("ring"))

    def _stop_all(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            self._executor.stop(attempt, Stop.DRAIN)
            if attempt.task is None and not attempt.in_thread:
                self._executor.settle_stopped(attempt)

    async def _until_settled(self, seconds: float) -> bool:
        """Wait until no handler's verdict is missing; False if that takes too long."""
        ends = time.monotonic() + seconds
        while any(not attempt.settled for attempt in self.slots.held):
            if time.monotonic() >= ends:
                return False
            await asyncio.sleep(0.01)
        return True

    async def _flush(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                for committer in self._committers.values():
                    await committer.flushed()
        except TimeoutError:
            _log.error("verdicts are lost: Redis takes none; their jobs run again",
                       count=len(self.slots.held))  # fmt: skip

    async def _leave(self) -> None:
        retirement = self.health.retirement
        event = WorkerStopped(self.name, retirement.reason if retirement else "asked")
        await self._politely(lambda: self._each_queue("announce", event))
        await self._politely(self._reporter.leave)

    async def _each_queue(self, verb: str, *args: Any) -> None:
        queues = map(self.directory.queue, self._committers)
        await asyncio.gather(*(getattr(queue, verb)(*args) for queue in queues))

    async def _politely(self, call: Callable[[], Awaitable[None]]) -> None:
        """Do what others can do without, if it is quick."""
        try:
            async with asyncio.timeout(1):
                await call()
        except (MillstreamError, TimeoutError) as error:
            _log.warning("left without a word", worker=self.name, error=str(error))


async def _until_reached(call: Callable[[], Awaitable[None]]) -> None:
    pause = 0.1
    while True:
        try:
            return await call()
        except Unavailable as error:
            _log.warning("waiting for Redis", error=str(error), again_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
