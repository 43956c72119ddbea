"""The hot state of a job, from all its events: the inverse of what the verbs append."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from .. import events as ev
from ..jobs import TERMINAL, Job, JobState, fold
from ..upcast import decode

CANCEL, REDRIVEN, LOCKED, STEPS = 1, 2, 4, 8
"""Flags of the header: see lua/includes/header.lua."""

NONE, SCHEDULED, QUEUED, RETRYING = 0, 1, 2, 5

_CODES = {
    JobState.SCHEDULED: SCHEDULED,
    JobState.QUEUED: QUEUED,
    JobState.BLOCKED: QUEUED,
    JobState.RUNNING: QUEUED,
    JobState.RETRYING: RETRYING,
}
"""A job that waited for a limit asks for it again; one that ran is handed back."""


class Revived(NamedTuple):
    """What restore_jobs.lua is given of a job.

    job      as its events tell it, without those to be appended
    code     of the state it is to be in; NONE: it has ended
    tries    attempts that have ended
    version  of its last event before those to be appended
    at       when it became ready, or when it is due (ms)
    events   to be appended: type and body
    steps    step → body of its event
    lock     digest and spec event of the lock it holds; None: none
    """

    job: Job
    code: int
    flags: int
    tries: int
    version: int
    at: int
    spec: bytes
    events: list[tuple[str, bytes]]
    steps: dict[str, bytes]
    lock: tuple[str, ev.Record] | None


class _Life:
    """What the fold of a job does not keep."""

    def __init__(self) -> None:
        self.tries = 0
        self.redriven = False
        self.spec: ev.Record | None = None
        self.said: ev.JobSubmitted | None = None
        self.steps: dict[str, bytes] = {}
        self.last: ev.Event | None = None

    def take(self, record: ev.Record, event: ev.Event) -> None:
        self.last = event
        match event:
            case ev.JobSubmitted():  # job.replaced, too
                self.spec, self.said = record, event
                self.tries, self.steps = 0, {}
            case ev.JobAttemptFailed():
                self.tries += 1
            case ev.JobRedriven():
                self.redriven, self.tries, self.steps = True, 0, {}
            case ev.JobCheckpointed(step=step):
                self.steps[step] = record.body
            case _:
                pass


def revive(records: Sequence[ev.Record], fresh: Sequence[ev.Record] = ()) -> Revived:
    """The hot state of a job whose archived events are `records`.

    fresh  events to be appended before any other, which follow those.
    Raises IllegalTransition, UnknownEvent and UnreadableEvent.
    """
    pairs = [(record, decode(record)) for record in (*records, *fresh)]
    job = fold(pairs)
    assert job is not None
    life = _Life()
    for record, event in pairs:
        life.take(record, event)
    assert life.spec is not None
    assert life.said is not None
    events = [(record.type, record.body) for record in fresh]
    ended = job.state in TERMINAL
    if not ended:
        end, more = _settled(job, life)
        events += [(event.name, ev.body_of(event)) for event in more]
        ended = end
    locked = not life.redriven and life.said.lock is not None and life.said.lock_scope != "period"
    flags = (
        (REDRIVEN if life.redriven else 0)
        | (LOCKED if locked else 0)
        | (STEPS if life.steps else 0)
    )
    code = NONE if ended else _CODES[job.state]
    at = job.run_at if code in (SCHEDULED, RETRYING) else job.ready_at
    lock = (life.said.lock, life.spec) if locked and life.said.lock and not ended else None
    version = job.version - len(fresh)
    return Revived(
        job, code, flags, life.tries, version, at or 0, life.spec.body, events,
        {} if ended else life.steps, lock,
    )  # fmt: skip


def _settled(job: Job, life: _Life) -> tuple[bool, list[ev.Event]]:
    """What happens to a live job by the restore: whether it ends, and the events of it.

    The archive may end between two events of one script: the second is what was meant.
    """
    last = life.last
    if isinstance(last, ev.JobAttemptFailed) and last.retry_ms is None:
        exhausted = life.tries >= job.max_attempts
        return True, [ev.JobFailed("exhausted" if exhausted else "non_retryable")]
    if job.cancel_requested:
        return True, [ev.JobCancelled()]
    if job.state is JobState.RUNNING:
        return False, [ev.JobReleased("restored")]
    if job.state is JobState.BLOCKED:
        return False, [ev.JobQueued("restored")]
    return False, []


def released(revived: Revived) -> bool:
    """Whether the job ran when its log was lost: it runs again."""
    return revived.job.state is JobState.RUNNING and revived.code != NONE


def at_time(records: Sequence[ev.Record], now: int) -> list[ev.Record]:
    """The records as they will stand when they are appended now (ms)."""
    return [msgspec.structs.replace(record, time=now) for record in records]
