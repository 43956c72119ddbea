"""The typed face of the verbs on schedules. Errors: as in `queue`."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from .connection import translated
from .events import (
    Command,
    JobSubmitted,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleSkipped,
    body_of,
)
from .firing import Missed, start
from .keys import Keys
from .queue import PartitionQueue
from .schedules import Schedule, read_schedule, same_times

KEPT_MS = 86_400_000
"""How long a firing with a command id is remembered, so that sending it again changes nothing."""

Put = Literal["created", "updated", "same", "foreign", "conflict", "missing"]
Outcome = Literal["fired", "lost", "changed", "missing", "draining"]


class State(NamedTuple):
    """A schedule and where it stands. Times are ms since 1970.

    raw        its spec as it is stored: `schedule` reads it
    next       its next occurrence, and when that is due; None: there will be none
    paused     who paused it and why; None: it is not paused
    buffered   an occurrence that waits for the job of an earlier one to end
    """

    name: str
    partition: str
    version: int
    raw: bytes
    next: int | None
    due: int | None
    paused: Command | None
    paused_at: int | None
    buffered: int | None
    running: list[str]
    digest: str
    last_job: str | None
    last_occurrence: int | None
    last_at: int | None

    def schedule(self) -> Schedule:
        """What it says. Raises msgspec.ValidationError if a later release wrote it."""
        return read_schedule(self.raw)


class Due(NamedTuple):
    """What is to be looked at; `next_due` 0: nothing else is to come. ms by the server's clock."""

    now: int
    next_due: int
    states: list[State]


class FiredJob(NamedTuple):
    """A job an occurrence is to become."""

    id: str
    occurrence: int
    cause: str
    spec: JobSubmitted


class Firing(NamedTuple):
    """What a schedule is to do; all but `jobs` and `missed` as they were read.

    moves  False: it stays where it is, and its overlap policy is not asked
    next   where it is to stand, and when that is due
    by     who wants these jobs, and why
    """

    state: State
    overlap: str
    jobs: Sequence[FiredJob]
    missed: Missed | None = None
    moves: bool = True
    next: int | None = None
    due: int | None = None
    by: Command | None = None


class Fired(NamedTuple):
    """What became of a firing, and the jobs that were submitted."""

    outcome: Outcome
    jobs: list[str]


class PartitionSchedules:
    """The schedules of one partition."""

    def __init__(self, queue: PartitionQueue, redis: Any, keys: Keys) -> None:
        self.partition = queue.partition
        self._queue = queue
        self._redis = redis
        self._keys = keys

    async def put(
        self, given: Schedule, by: Command, *, old: State | None = None, digest: str = "",
        now: int,
    ) -> tuple[Put, int]:  # fmt: skip
        """Make a schedule, or change `old`: the outcome and its version (see schedule_put.lua).

        Its next occurrence is counted from `now` unless its times stay the same. With a `digest`
        it is a declaration.
        """
        spec = msgspec.json.encode(given)
        told = msgspec.json.decode(spec, type=dict[str, msgspec.Raw])
        body = body_of(ScheduleCreated(by.actor, by.reason, given.name, told, digest))
        keeps = old is not None and _keeps_its_times(old, given)
        times: Sequence[Any] = ("=", "=") if keeps else _texts(start(given, now))
        expected = "" if digest else 0 if old is None else old.version
        args = [given.name, expected, digest, spec, *times, body]
        outcome, version = await self._queue._run("schedule_put", args)
        return outcome.decode(), version

    async def delete(self, name: str, by: Command) -> bool:
        """Take a schedule away; False if there is none."""
        body = body_of(ScheduleDeleted(by.actor, by.reason, name))
        return await self._queue._run("schedule_delete", [name, body]) == 1

    async def pause(self, name: str, by: Command, version: int | None = None) -> str:
        """Pause a schedule, if it has that version: paused, same, conflict or missing."""
        body = body_of(SchedulePaused(by.actor, by.reason, name))
        args = [name, "pause", "" if version is None else version, "", "", body]
        return (await self._queue._run("schedule_pause", args))[0].decode()

    async def resume(self, state: State, by: Command, now: int) -> str:
        """Let a schedule go on from its next occurrence: resumed, same, conflict or missing."""
        body = body_of(ScheduleResumed(by.actor, by.reason, state.name))
        times = _texts(start(state.schedule(), now))
        args = [state.name, "resume", state.version, *times, body]
        return (await self._queue._run("schedule_pause", args))[0].decode()

    async def due(self, limit: int, offset: int = 0) -> Due:
        """The schedules to be looked at now; the first `offset` of them are passed over."""
        args = [offset, limit]
        now, next_due, names, fields = await self._queue._run("schedules_due", args)
        states = (self._state(name.decode(), one) for name, one in zip(names, fields, strict=True))
        return Due(now, next_due, [state for state in states if state is not None])

    async def fire(self, firings: Iterable[Firing], command: str = "") -> list[Fired]:
        """Fire schedules; per firing what became of it. With a `command` id there is one alone.

        The same command may be sent again while the outcome is unknown: it is done once.
        """
        args: list[Any] = [command, KEPT_MS]
        for firing in firings:
            args += _firing_args(firing)
        replies = await self._queue._run("fire", args)
        return [Fired(outcome.decode(), ids.decode().split()) for outcome, ids in replies]

    async def get(self, name: str) -> State | None:
        """A schedule as it stands; None if there is none."""
        return (await self.get_all([name]))[0]

    async def get_all(self, names: Sequence[str]) -> list[State | None]:
        """The same for many, in their order."""
        if not names:
            return []
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(self._keys.schedule(self.partition, name))
            found = await pipeline.execute()
        return [
            self._state(name, [part for pair in fields.items() for part in pair])
            for name, fields in zip(names, found, strict=True)
        ]

    def _state(self, name: str, flat: Sequence[bytes]) -> State | None:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if b"spec" not in fields:
            return None
        paused = fields.get(b"paused")
        return State(
            name=name,
            partition=self.partition,
            version=int(fields[b"version"]),
            raw=fields[b"spec"],
            next=_number(fields, b"next"),
            due=_number(fields, b"due"),
            paused=msgspec.json.decode(paused, type=Command) if paused else None,
            paused_at=_number(fields, b"paused_at") if paused else None,
            buffered=_number(fields, b"buffered"),
            running=fields.get(b"running", b"").decode().split(),
            digest=fields.get(b"digest", b"").decode(),
            last_job=fields[b"last_job"].decode() if b"last_job" in fields else None,
            last_occurrence=_number(fields, b"last_occurrence"),
            last_at=_number(fields, b"last_at"),
        )


def new_command() -> str:
    """An id for a command that has none."""
    return uuid.uuid4().hex


def _keeps_its_times(old: State, given: Schedule) -> bool:
    try:
        return same_times(old.schedule(), given)
    except msgspec.ValidationError:
        return False


def _firing_args(firing: Firing) -> list[Any]:
    state = firing.state
    args: list[Any] = [
        state.name,
        state.version,
        *(_texts((state.next, state.buffered)) if firing.moves else ("-", "")),
        *_texts((firing.next, firing.due)),
        firing.overlap,
        _skipped(state.name, firing.missed),
        _members(firing.by),
        len(firing.jobs),
    ]
    for job, occurrence, cause, spec in firing.jobs:
        args += (job, occurrence, cause, spec.priority, spec.expires_at or 0, body_of(spec))
    return args


def _skipped(name: str, missed: Missed | None) -> bytes:
    if missed is None:
        return b""
    event = ScheduleSkipped(name, missed.first, "missed", missed.counted, missed.last)
    return body_of(event)


def _members(by: Command | None) -> bytes:
    """Who and why as members to add to an object that has some."""
    told = b"{}" if by is None else body_of(by)
    return b"" if told == b"{}" else b"," + told[1:-1]


def _texts(times: Iterable[int | None]) -> list[Any]:
    return ["" if time is None else time for time in times]


def _number(fields: dict[bytes, bytes], name: bytes) -> int | None:
    text = fields.get(name)
    return int(text) if text else None
