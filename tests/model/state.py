"""What is compared after each step: the same picture, drawn from the memory and from the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millstream.core.hot import _HEADER, STATES
from millstream.core.jobs import JobState
from millstream.core.memory import MemoryPartition
from millstream.core.memory.gates import Gates
from millstream.core.memory.jobs import Live
from millstream.core.memory.links import Links, Notice

NO_ENTRY = ""
DEPENDENT = 6
MOMENTS = ("next", "due", "buffered", "paused_at", "last_occurrence", "last_at")
"""Fields of a schedule that hold times."""


@dataclass(frozen=True)
class Hot:
    """A live job's hot state; `hold`: of one that waits for others, a time alone is `at`."""

    state: JobState
    priority: int
    cancel: bool
    redriven: bool
    locked: bool
    stepped: bool
    crashes: int
    tries: int
    version: int
    fence: int
    expires: bool
    awaited: bool
    hold: str | None
    body: bytes


@dataclass(frozen=True)
class State:
    """All there is of a partition but its log.

    lanes  priority → job and owner of each entry; owner None: not given, or the group is lost
    due    jobs that wait, in their order
    holders, waiting  by gate, where there are any; `blocked` is told of each job on its own
    timers  gates that are looked at again, in the order of those times
    locks  digest → job and seq of its spec, and whether the lock ends by itself
    steps  job → what it keeps of each of its steps, of those that have any
    plans  schedule → its fields; of times only whether there are any
    parents, awaited  job → the members of these sets
    early  job → what it was told too early, and whether that ends by itself
    unsure  jobs that wait for others → whether it is to be found out how those ended
    told   (who is to be told, job, what became of it), as often as the outbox holds it
    given  notices of the outbox that somebody has and has not settled
    """

    jobs: dict[str, Hot]
    lanes: dict[int, list[tuple[str, str | None]]]
    due: list[str]
    bell: bool
    seq: int
    archived: int
    mode: str = "open"
    limits: dict[str, str] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    timers: list[str] = field(default_factory=list)
    locks: dict[str, tuple[str, int, bool]] = field(default_factory=dict)
    steps: dict[str, dict[str, bytes]] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    parents: dict[str, set[str]] = field(default_factory=dict)
    awaited: dict[str, set[str]] = field(default_factory=dict)
    early: dict[str, tuple[dict[str, str], bool]] = field(default_factory=dict)
    unsure: dict[str, bool] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    given: set[str] = field(default_factory=set)


def of_plan(fields: Mapping[str, bytes]) -> dict[str, Any]:
    """The picture of one schedule, from its fields."""
    return {name: value != b"" if name in MOMENTS else value for name, value in fields.items()}


def of_memory(rooms: MemoryPartition) -> State:
    """The picture the memory gives."""
    return State(
        jobs={job.id: _hot(job) for job in rooms.jobs.live.values()},
        lanes={
            priority: [(entry.job, entry.owner) for entry in lane.entries]
            for priority, lane in rooms.lanes.in_order()
        },
        due=rooms.due.order(),
        bell=rooms.bell,
        seq=rooms.log.seq,
        archived=rooms.archived,
        mode=rooms.mode,
        **_at_gates(rooms.gates),
        locks={
            digest: (held.id, held.seq, held.until is not None)
            for digest, held in rooms.locks.in_force(rooms.now).items()
        },
        steps={job.id: dict(job.steps) for job in rooms.jobs.live.values() if job.steps},
        plans={name: of_plan(fields) for name, fields in rooms.schedules.items()},
        **_of_families(rooms.links, rooms.now),
    )


def _hot(job: Live) -> Hot:
    return Hot(
        job.state,
        job.priority,
        job.cancel,
        job.redriven,
        job.locked,
        bool(job.steps),
        job.crashes,
        job.tries,
        job.version,
        job.fence,
        job.expires is not None,
        job.awaited,
        held(job.hold) if job.depends else None,
        job.body,
    )


def _at_gates(gates: Gates) -> dict[str, Any]:
    """Who waits at limits, and who holds room there."""
    each = gates.gates.values()
    return {
        "limits": dict(gates.limits),
        "holders": {gate.name: set(gate.holders) for gate in each if gate.holders},
        "waiting": {gate.name: gate.queue() for gate in each if gate.waiting},
        "blocked": {job: gate.name for gate in each for job in gate.waiting},
        "timers": gates.next(),
    }


def _of_families(links: Links, now: int) -> dict[str, Any]:
    """Who waits for whom, and what is to be told to whom."""
    return {
        "parents": {job: set(members) for job, members in links.parents.items()},
        "awaited": {job: set(members) for job, members in links.awaited.items()},
        "early": {
            job: (dict(kept.ended), kept.until is not None)
            for job, kept in links.in_time(now).items()
        },
        "unsure": {job: at == 0 for job, at in links.seen.items()},
        "told": told_of(links.outbox),
        "given": {one.entry for one in links.outbox if one.given is not None},
    }


def held(text: str) -> str:
    """When a job is to run once it waits for no others: as it is said, but not what time."""
    return "at" if text.isdigit() else text


def told_of(outbox: Sequence[Notice]) -> list[tuple[str, str, str]]:
    """What an outbox holds, however it is put together into notices."""
    return sorted((who, *end) for one in outbox for end in one.ended for who in one.dependents)


def of_hot(raw: bytes, delivered: dict[int, str]) -> Hot:
    """The picture of one job; `delivered`: the last entry given of each lane.

    A claim does not write: a queued job whose entry was given is running, one version further.
    """
    state, priority, flags, crashes, tries, version, fence, expires, entry = _HEADER.unpack_from(
        raw
    )
    name = entry.rstrip(b"\0").decode()
    given = order(delivered.get(priority, "0-0"))
    running = name != NO_ENTRY and state != DEPENDENT and order(name) <= given
    return Hot(
        state=JobState.RUNNING if running else STATES[state],
        priority=priority,
        cancel=bool(flags & 1),
        redriven=bool(flags & 2),
        locked=bool(flags & 4),
        stepped=bool(flags & 8),
        crashes=crashes,
        tries=tries,
        version=max(version, fence) if running else version,
        fence=fence,
        expires=expires > 0,
        awaited=bool(flags & 16),
        hold=held(name) if state == DEPENDENT else None,
        body=raw[_HEADER.size :],
    )


def order(entry: str) -> tuple[int, int]:
    """A stream id as what it is compared by."""
    ms, n = entry.split("-")
    return int(ms), int(n)
