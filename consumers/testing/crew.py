"""A worker's parts without its loops: who has them says when they work.

What runs a job here is what runs it in a worker: executor, runners, steps, recorder, committer,
maintenance, schedules. Only fetching and the lease thread are done by hand, since they wait for
a time that stands still.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable

from ...core.config import Settings
from ...core.events import WorkerStarted
from ...core.hot import Lease
from ...core.queue import Finish
from ..attempts import Attempt, Stop
from ..committer import Committer
from ..declared import declare
from ..executor import Executor, _timeout_of
from ..handlers import Registry
from ..leases import TO_CANCEL
from ..maintenance import Maintenance
from ..runners import Runners
from ..scheduling import Scheduling
from ..stats import Stats
from ..submissions import Submissions
from ..threads import Threads
from ..worker import end
from .errors import StillRunning
from .ground import Ground
from .kin import Kin
from .parts import Lent, QuietSlots, Timed

AT_START = ""
"""Instead of a step: the worker of a job dies before its handler has begun."""


class Crew:
    """Runs what may run in `queues`, a round at a time.

    doomed  job → the step after which its worker dies
    """

    def __init__(
        self,
        ground: Ground,
        registry: Registry,
        settings: Settings,
        queues: Collection[str],
        patience: float,
    ) -> None:
        self.doomed: dict[str, str] = {}
        self.ran: Counter[str] = Counter()
        self._ground = ground
        self._registry = registry
        self._settings = settings
        self._queues = sorted(queues)
        self._patience = patience
        self._workers = 1
        self._slots = QuietSlots(settings.concurrency)
        self._threads = Threads(settings.concurrency)
        stats = self._stats = Stats()
        self._durable = Lent(ground.directory, registry, settings, self._told, self._kept)
        self._executor = Executor(
            registry, self._deliver, self._threads, stats, settings.handler_missing_after,
            self._durable,
        )  # fmt: skip
        self._runners = Runners(self._slots, self._executor.execute)
        self._maintenance = Maintenance(
            None, sweep=settings.sweep, lease=settings.lease, max_crashes=settings.max_crashes,
            outages=False,  # between two sweeps any time may be stepped over
        )  # fmt: skip
        self._kin = Kin(ground)
        self._scheduling = Scheduling(
            ground.schedules, ground.directory.subject_keys, lambda: self._queues, settings.sweep
        )
        self._committers: dict[str, Committer] = {}
        self._committing: list[asyncio.Task[None]] = []
        self._expiring: list[float] = []
        self._again: dict[str, float] = {}
        self._given_up: set[Attempt] = set()

    @property
    def submissions(self) -> Submissions:
        """The way of new jobs."""
        return self._durable.submissions

    @property
    def _name(self) -> str:
        return f"worker-{self._workers}"

    # -- from start to stop -------------------------------------------------------

    async def start(self) -> None:
        """Come to the queues, as a worker does: announced, schedules declared."""
        self._durable.start()
        directory = self._ground.directory
        types = {handler.type: handler.announcement() for handler in self._registry}
        for partition in self._queues:
            queue = directory.queue(partition)
            await directory.register(partition)
            await queue.announce(WorkerStarted(self._name, sorted(types)), types)
            committer = self._committers[partition] = Committer(queue, self._slots, self._stats)
            self._committing.append(asyncio.get_running_loop().create_task(committer.run()))
        await directory.announce_types(types)
        planned = [handler.schedule for handler in self._registry if handler.schedule is not None]
        served = [schedule for schedule in planned if schedule.queue in self._queues]
        await declare(self._ground.schedules, served, self._name)

    async def stop(self) -> None:
        """Stop at once; what still runs is interrupted."""
        for attempt in list(self._slots.held):
            self._executor.stop(attempt, Stop.LOST)
        await self._runners.stop()
        await self._durable.stop()
        self._threads.stop()
        await end(self._committing)

    # -- work ---------------------------------------------------------------------

    async def round(self, most: int) -> int:
        """Run what may run now, once over all queues; how many attempts, at most `most`."""
        count = 0
        await self._until_quiet()
        await self.tell()
        for partition in self._queues:
            queue = self._ground.directory.queue(partition)
            await self._plan(partition)
            await self._maintenance.sweep(queue)
            claim = await queue.claim(self._name, min(most - count, self._slots.free))
            self._again[partition] = claim.next_due - claim.now if claim.next_due else 0
            attempts = self._take(claim.leases)
            await self._until_quiet()
            self.ran.update(one.spec.type for one in attempts if one.spec is not None)
            count += len(claim.leases)
            if count >= most:
                break
        return count

    async def tell(self) -> bool:
        """Tell jobs that wait for others of their ends; whether there were any."""
        return await self._kin.tell()

    async def _plan(self, partition: str) -> None:
        if partition in await self._ground.schedules.partitions():
            await self._scheduling._fire_all(self._ground.schedules.of(partition))

    def _take(self, leases: Iterable[Lease]) -> list[Attempt]:
        since, began = time.monotonic(), self._ground.time()
        attempts: list[Attempt] = []
        for lease in leases:
            if self.doomed.get(lease.id) == AT_START:
                self._dies(lease.id)
            else:
                attempts.append(Timed(lease, since, clock=self._ground.time, began=began))
        self._slots.take(attempts)
        self._runners.put(attempts)
        return attempts

    async def _until_quiet(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._slots.quiet.wait()
        except TimeoutError:
            self._given_up = set(self._slots.held)
            raise StillRunning(self._patience, [*map(_told_of, self._slots.held)]) from None

    @property
    def stuck(self) -> bool:
        """Whether a handler runs that was waited for in vain, and was not told to stop since."""
        return any(one.stop is None for one in self._given_up & self._slots.held)

    def _deliver(self, attempt: Attempt, finish: Finish) -> None:
        self._committers[attempt.lease.partition].add(attempt, finish)

    def _told(self, news: list[tuple[Attempt, int]]) -> None:
        """A renewal's or recorder's news, as a worker takes them."""
        for attempt, reply in news:
            if attempt.settled:
                continue
            if reply == TO_CANCEL:
                self._executor.stop(attempt, Stop.CANCEL)
            else:
                self._executor.stop(attempt, Stop.LOST)
                self._slots.settle([attempt])

    # -- what befalls -------------------------------------------------------------

    def running(self, job: str) -> Attempt | None:
        """The attempt at a job that runs now."""
        return next((one for one in self._slots.held if one.lease.id == job), None)

    def cancel(self, job: str) -> None:
        """Let the attempt at a job know at once that it is to be cancelled."""
        attempt = self.running(job)
        if attempt is not None:
            self._told([(attempt, TO_CANCEL)])

    def kill(self, attempt: Attempt) -> None:
        """The worker of an attempt dies: nobody hears of it again, and its lease expires."""
        self._dies(attempt.lease.id)
        self._executor.stop(attempt, Stop.LOST)
        self._slots.settle([attempt])

    def _kept(self, attempt: Attempt, step: str) -> bool:
        """A step was kept; whether its worker died of it."""
        dies = self.doomed.get(attempt.lease.id) == step
        if dies:
            self.kill(attempt)
        return dies

    def _dies(self, job: str) -> None:
        self.doomed.pop(job, None)
        self._workers += 1
        self._expiring.append(self._ground.time() + self._settings.lease * 1000)

    # -- time ---------------------------------------------------------------------

    async def next_in(self) -> float | None:
        """Ms until something becomes due that is not yet; None: never."""
        now = self._ground.time()
        held = [deadline for one in self._slots.held if (deadline := _deadline(one)) is not None]
        waits = [at - now for at in (*self._expiring, *held)]
        waits += [wait for wait in self._again.values() if wait]
        for partition in self._queues:
            standing = await self._ground.directory.queue(partition).inspect()
            if standing.next_due:
                waits.append(standing.next_due - standing.now)
        if self._ground.calendar:
            for partition in await self._ground.schedules.partitions() & set(self._queues):
                due = await self._ground.schedules.of(partition).due(1)
                if due.next_due:
                    waits.append(due.next_due - due.now)
        return min(waits, default=None)

    async def step(self, ms: int) -> None:
        """Let time pass, by leases that are renewed and timeouts that strike."""
        self._again.clear()
        await self._ground.step(ms)
        now = self._ground.time()
        self._expiring = [at for at in self._expiring if at > now]
        self._renew()
        for attempt in list(self._slots.held):
            if attempt.context is not None and attempt.context.deadline is not None:
                attempt.context.deadline -= ms / 1000
            deadline = _deadline(attempt)
            if deadline is not None and deadline <= now:
                self._executor.stop(attempt, Stop.TIMEOUT)

    def _renew(self) -> None:
        for partition in self._queues:
            held = [one for one in self._slots.held if one.lease.partition == partition]
            leases = [(one.lease.id, one.lease.fence) for one in held]
            replies = self._ground.renew(self._name, partition, leases) if leases else []
            pairs = zip(held, replies, strict=True)
            self._told([(one, reply) for one, reply in pairs if reply != 1])


def _deadline(attempt: Attempt) -> float | None:
    """When (ms since 1970) an attempt times out."""
    timeout = _timeout_of(attempt)
    if timeout is None or not isinstance(attempt, Timed):
        return None
    return attempt.began + timeout * 1000


def _told_of(attempt: Attempt) -> str:
    kind = "" if attempt.spec is None else f" ({attempt.spec.type})"
    return attempt.lease.id + kind
