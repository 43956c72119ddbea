"""What is compared after each step: the same picture, drawn from the memory and from the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millstream.core.hot import _HEADER, STATES
from millstream.core.jobs import JobState
from millstream.core.memory import MemoryPartition

NO_ENTRY = ""
MOMENTS = ("next", "due", "buffered", "paused_at", "last_occurrence", "last_at")
"""Fields of a schedule that hold times."""


@dataclass(frozen=True)
class Hot:
    """A live job's hot state."""

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
    body: bytes


@dataclass(frozen=True)
class State:
    """All there is of a partition but its log.

    lanes  priority → job and owner of each entry; owner None: not given, or the group is lost
    due    jobs that wait, in their order
    holders, waiting  by gate, where there are any; `blocked` is told of each job on its own
    timers  rates that are looked at again, in the order of those times
    locks  digest → job and seq of its spec, and whether the lock ends by itself
    steps  job → what it keeps of each of its steps, of those that have any
    plans  schedule → its fields; of times only whether there are any
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


def of_plan(fields: Mapping[str, bytes]) -> dict[str, Any]:
    """The picture of one schedule, from its fields."""
    return {name: value != b"" if name in MOMENTS else value for name, value in fields.items()}


def of_memory(rooms: MemoryPartition) -> State:
    """The picture the memory gives."""
    gates = rooms.gates.gates.values()
    return State(
        jobs={
            job.id: Hot(
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
                job.body,
            )
            for job in rooms.jobs.live.values()
        },
        lanes={
            priority: [(entry.job, entry.owner) for entry in lane.entries]
            for priority, lane in rooms.lanes.in_order()
        },
        due=rooms.due.order(),
        bell=rooms.bell,
        seq=rooms.log.seq,
        archived=rooms.archived,
        mode=rooms.mode,
        limits=dict(rooms.gates.limits),
        holders={gate.name: set(gate.holders) for gate in gates if gate.holders},
        waiting={gate.name: gate.queue() for gate in gates if gate.waiting},
        blocked={job: gate.name for gate in gates for job in gate.waiting},
        timers=rooms.gates.next(),
        locks={
            digest: (held.id, held.seq, held.until is not None)
            for digest, held in rooms.locks.in_force(rooms.now).items()
        },
        steps={job.id: dict(job.steps) for job in rooms.jobs.live.values() if job.steps},
        plans={name: of_plan(fields) for name, fields in rooms.schedules.items()},
    )


def of_hot(raw: bytes, delivered: dict[int, str]) -> Hot:
    """The picture of one job; `delivered`: the last entry given of each lane.

    A claim does not write: a queued job whose entry was given is running, one version further.
    """
    state, priority, flags, crashes, tries, version, fence, expires, entry = _HEADER.unpack_from(
        raw
    )
    name = entry.rstrip(b"\0").decode()
    running = name != NO_ENTRY and order(name) <= order(delivered.get(priority, "0-0"))
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
        body=raw[_HEADER.size :],
    )


def order(entry: str) -> tuple[int, int]:
    """A stream id as what it is compared by."""
    ms, n = entry.split("-")
    return int(ms), int(n)
