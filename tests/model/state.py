"""What is compared after each step: the same picture, drawn from the model and from the server."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.core.hot import _HEADER, STATES
from millstream.core.jobs import JobState
from millstream.core.operating import Mode

from .verbs import Model

NO_ENTRY = ""


@dataclass(frozen=True)
class Hot:
    """A live job's hot state."""

    state: JobState
    priority: int
    cancel: bool
    redriven: bool
    locked: bool
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
    locks  digest → who holds it, and the seq of its spec
    passed, parked  gate → jobs that passed it, and those that wait at it, in their order
    """

    jobs: dict[str, Hot]
    lanes: dict[int, list[tuple[str, str | None]]]
    due: list[str]
    bell: bool
    seq: int
    archived: int
    mode: Mode
    passed: dict[str, set[str]]
    parked: dict[str, list[str]]
    locks: dict[str, tuple[str, int]]


def of_model(model: Model) -> State:
    """The picture the model gives."""
    return State(
        jobs={
            job.id: Hot(
                job.state,
                job.priority,
                job.cancel,
                job.redriven,
                job.lock is not None,
                job.crashes,
                job.tries,
                job.version,
                job.fence,
                job.expires is not None,
                job.body,
            )
            for job in model.jobs.live.values()
        },
        lanes={
            priority: [(entry.job, entry.owner) for entry in lane.entries]
            for priority, lane in model.lanes.in_order()
        },
        due=model.due.order(),
        bell=model.bell,
        seq=model.log.seq,
        archived=model.archived,
        mode=model.mode,
        passed={gate: jobs for gate, jobs in model.gates.passed.items() if jobs},
        parked={
            gate: [id for _, _, id in waiting]
            for gate, waiting in model.gates.parked.items()
            if waiting
        },
        locks={
            digest: (held.job, held.seq)
            for digest in model.locks.held
            if (held := model.locks.get(digest, model.clock))
        },
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
