"""Firing schedules. Every worker does it for the queues it serves; the verb `fire` has one win.

Each sleeps until the exact next time there is, and at most a sweep: so a firing is accurate to
some ms, and a schedule made or changed meanwhile is noticed within a sweep.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec
import structlog

from ..core.encryption import CODEC, Undecryptable, box_of
from ..core.errors import LogLost, MemoryFull, Unavailable
from ..core.events import Command
from ..core.firing import plan
from ..core.ids import new_id
from ..core.queue import CHEAP_BATCH
from ..core.schedule_index import Schedules
from ..core.schedule_store import FiredJob, Firing, PartitionSchedules, State
from ..core.schedules import Schedule, due_at, job_of
from ..core.subjects import SubjectKeys

_log = structlog.stdlib.get_logger("millstream.schedules")

BATCH = 50
"""Schedules read at once: planning so many takes some ms of the event loop."""

AT_ONCE = 8
"""Partitions looked at at the same time: connections are shared with all else a worker does."""

SOONEST = 0.001
"""Seconds between two looks at least: clocks run apart by so much while one sleeps."""


ERASED = "the key of its subject was erased: its payload cannot be read any more"


class Scheduling:
    """Fires what is due in the partitions that `served` names."""

    def __init__(
        self,
        schedules: Schedules,
        keys: Callable[[], SubjectKeys],
        served: Callable[[], Collection[str]],
        sweep: float,
    ) -> None:
        self._schedules = schedules
        self._keys = keys
        self._served = served
        self._sweep = sweep
        self._sweep_at = 0.0
        self._next_at: dict[str, float] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._unread: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Fire for ever, whatever happens."""
        while True:
            await asyncio.sleep(await self.fire())

    async def fire(self) -> float:
        """Fire all that is due; seconds after which to do so again."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._sweep_at:
            partitions = [name for name, at in self._next_at.items() if at <= now]
        else:
            self._sweep_at = now + self._sweep * random.uniform(0.5, 1)
            partitions = await self._scheduled()
        await asyncio.gather(*map(self._fire_in, partitions))
        soonest = min(self._next_at.values(), default=self._sweep_at)
        return max(SOONEST, min(soonest, self._sweep_at) - loop.time())

    async def _scheduled(self) -> Collection[str]:
        """The partitions served here that have schedules."""
        try:
            return await self._schedules.partitions() & set(self._served())
        except Unavailable as error:
            _log.warning("schedules cannot be looked at", error=str(error))
        except Exception as error:
            _log.error("schedules cannot be looked at", exc_info=error)
        return ()

    async def _fire_in(self, partition: str) -> None:
        """Fire all that is due in a partition, and note when the next is, by the loop's clock."""
        self._next_at.pop(partition, None)  # when it fails, the next sweep tries again
        try:
            async with self._turns:
                next_at = await self._fire_all(self._schedules.of(partition))
            if next_at is not None:
                self._next_at[partition] = next_at
        except (Unavailable, LogLost, MemoryFull) as error:
            _log.warning("schedules cannot be fired", queue=partition, error=str(error))
        except Exception as error:
            _log.error("schedules cannot be fired", queue=partition, exc_info=error)

    async def _fire_all(self, own: PartitionSchedules) -> float | None:
        loop, useless = asyncio.get_running_loop(), 0
        while True:
            due = await own.due(BATCH, useless)
            read_at = loop.time()
            firings: list[Firing | None] = []
            shut = await self._shut(own, due.states)
            for state in due.states:
                firings.append(None if state.name in shut else self._planned(state, due.now))
                if firings[-1] is not None and firings[-1].missed is not None:
                    await asyncio.sleep(0)  # counting took a while: let others have their turn
            useless += firings.count(None) - len(shut)  # those are paused
            wanted = [firing for firing in firings if firing is not None]
            for part in _parts(wanted):
                await own.fire(part)  # the replies do not matter: who lost will read what is true
            if not wanted and len(due.states) < BATCH:
                return read_at + (due.next_due - due.now) / 1000 if due.next_due else None

    async def _shut(self, own: PartitionSchedules, states: Iterable[State]) -> set[str]:
        """Pause those whose payload nobody can read any more: each of their jobs would fail."""
        sealed = [(state, key) for state in states if (key := _key_of(state)) is not None]
        if not sealed:
            return set()
        found = await self._keys().get({key for _, key in sealed})
        shut = {state.name: state.version for state, key in sealed if found[key] == "erased"}
        for name, version in shut.items():
            by = Command(f"schedule {name}", ERASED)
            if await own.pause(name, by, version) == "paused":
                _log.warning("a schedule was paused", schedule=name, reason=ERASED)
        return set(shut)

    def _planned(self, state: State, now: int) -> Firing | None:
        """What a schedule is to do; None for one that cannot be understood here: others go on."""
        try:
            return _firing(state, state.schedule(), now)
        except Exception as error:
            known = self._unread.get((state.partition, state.name))
            if known != state.version:
                self._unread[state.partition, state.name] = state.version
                _log.error("a schedule cannot be read: this worker does not fire it",
                           schedule=state.name, error=str(error))  # fmt: skip
            return None


def _key_of(state: State) -> str | None:
    """Id of the key that the payload of a schedule is encrypted with, if it is."""
    if b'"codec"' not in state.raw:
        return None
    try:
        data = state.schedule().data
        return box_of(data).key if data.codec == CODEC else None
    except (msgspec.ValidationError, Undecryptable):
        return None  # it is not fired, or its jobs tell


def _firing(state: State, schedule: Schedule, now: int) -> Firing:
    jobs = [] if state.buffered is None else [_job(state, schedule, state.buffered, "due", now)]
    if state.next is None:
        return Firing(state, schedule.overlap, jobs)
    found = plan(schedule, state.next, now)
    if found.missed is not None:
        _log.warning("occurrences were missed", schedule=state.name, count=found.missed.counted)
    jobs += [_job(state, schedule, at, cause, now) for at, cause in found.fire]
    due = None if found.next is None else due_at(schedule, found.next)
    return Firing(state, schedule.overlap, jobs, found.missed, next=found.next, due=due)


def _job(state: State, schedule: Schedule, at: int, cause: str, now: int) -> FiredJob:
    return FiredJob(new_id(state.partition), at, cause, job_of(schedule, at, now))


def _parts(firings: Iterable[Firing]) -> Iterator[list[Firing]]:
    """The firings in calls of so many jobs as are cheap, unless one alone has more."""
    part: list[Firing] = []
    size = 0
    for firing in firings:
        if part and size + len(firing.jobs) > CHEAP_BATCH:
            yield part
            part, size = [], 0
        part.append(firing)
        size += len(firing.jobs)
    if part:
        yield part
