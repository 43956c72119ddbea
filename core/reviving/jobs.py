"""The hot state of a job, from all its events: the inverse of what the verbs append."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from .. import events as ev
from ..jobs import TERMINAL, Job, JobState, fold
from ..jobs.state import JOBS
from ..linking import Outcome, outcome_in
from ..upcast import decode

CANCEL, REDRIVEN, LOCKED, STEPS = 1, 2, 4, 8
"""Flags of the header: see lua/includes/header.lua."""

NONE, SCHEDULED, QUEUED, RETRYING, DEPENDENT = 0, 1, 2, 5, 6

OPEN = "open"
"""Stands among the parents of a job for those that may still come."""

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
    at       when it became ready, or when it is due (ms); of a job that waits for others what its
             header says of that: `+N` in N ms from then, `N` at N ms, or nothing
    parents  the jobs it waits for, with all that have ended; `OPEN` among them: more may come
    events   to be appended: type and body
    steps    step → body of its event
    lock     digest and spec event of the lock it holds; None: none
    """

    job: Job
    code: int
    flags: int
    tries: int
    version: int
    at: int | str
    spec: bytes
    events: list[tuple[str, bytes]]
    steps: dict[str, bytes]
    lock: tuple[str, ev.Record] | None
    parents: list[str]


class _Life:
    """What the fold of a job does not keep."""

    def __init__(self) -> None:
        self.tries = 0
        self.redriven = False
        self.spec: ev.Record | None = None
        self.said: ev.JobSubmitted | None = None
        self.steps: dict[str, bytes] = {}
        self.last: ev.Event | None = None
        self.parents: dict[str, None] = {}
        self.due = ""

    def take(self, record: ev.Record, event: ev.Event) -> None:
        self.last = event
        match event:
            case ev.JobSubmitted():  # job.replaced, too
                self.spec, self.said = record, event
                self.tries, self.steps = 0, {}
                self._waits(event)
            case ev.JobAttemptFailed():
                self.tries += 1
            case ev.JobRedriven():
                self.redriven, self.tries, self.steps = True, 0, {}
            case ev.JobCheckpointed(step=step):
                self.steps[step] = record.body
            case ev.JobExtended(parents=parents):
                self.parents |= dict.fromkeys(parents)
            case ev.JobClosed():
                self.parents.pop(OPEN, None)
            case ev.JobRescheduled(run_at=run_at):
                self.due = str(run_at)
            case _:
                pass

    def _waits(self, spec: ev.JobSubmitted) -> None:
        self.parents = dict.fromkeys([*spec.depends_on, *([OPEN] if spec.open else [])])
        if spec.delay_ms is not None:
            self.due = f"+{spec.delay_ms}"
        else:
            self.due = "" if spec.run_at is None else str(spec.run_at)

    def due_after(self, now: int) -> int | None:
        """When a job is to run that waits for others no more from `now` on; None: at once."""
        if not self.due:
            return None
        return now + int(self.due) if self.due.startswith("+") else int(self.due)


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
    code, at, more = _settled(job, life, pairs[-1][0].time)
    events += [(event.name, ev.body_of(event)) for event in more]
    ended = code == NONE
    locked = not life.redriven and life.said.lock is not None and life.said.lock_scope != "period"
    flags = (
        (REDRIVEN if life.redriven else 0)
        | (LOCKED if locked else 0)
        | (STEPS if life.steps else 0)
    )
    lock = (life.said.lock, life.spec) if locked and life.said.lock and not ended else None
    return Revived(
        job, code, flags, life.tries, job.version - len(fresh), at, life.spec.body, events,
        {} if ended else life.steps, lock, list(life.parents) if code == DEPENDENT else [],
    )  # fmt: skip


def outcome_of(revived: Revived) -> Outcome:
    """How a job ended whose code is `NONE`."""
    job = revived.job
    if outcome := outcome_in(job.state, discarded=job.discarded):
        return outcome
    return "failed" if revived.events[-1][0] == ev.JobFailed.name else "cancelled"


def _settled(job: Job, life: _Life, now: int) -> tuple[int, int | str, list[ev.Event]]:
    """What becomes of a job by the restore: its code, its place in time, and the events of it.

    The archive may end between two events of one script: the second is what was meant.
    now  time of its last event
    """
    if job.state in TERMINAL:
        return NONE, 0, []
    last = life.last
    if isinstance(last, ev.JobAttemptFailed) and last.retry_ms is None:
        exhausted = life.tries >= job.max_attempts
        return NONE, 0, [ev.JobFailed("exhausted" if exhausted else "non_retryable")]
    if job.cancel_requested:
        return NONE, 0, [ev.JobCancelled()]
    if job.state is JobState.BLOCKED and job.blocked_on == JOBS:
        return _depending(life, now)
    events: list[ev.Event] = []
    if job.state is JobState.RUNNING:
        events.append(ev.JobReleased("restored"))
    elif job.state is JobState.BLOCKED:
        events.append(ev.JobQueued("restored"))
    code = _CODES[job.state]
    at = job.ready_at if code == QUEUED else job.run_at
    return code, at or 0, events


def _depending(life: _Life, now: int) -> tuple[int, int | str, list[ev.Event]]:
    if life.parents:
        return DEPENDENT, life.due, []
    at = life.due_after(now)  # it was closed, without any
    return (QUEUED if at is None else SCHEDULED), now if at is None else at, [ev.JobJoined(at)]


def released(revived: Revived) -> bool:
    """Whether the job ran when its log was lost: it runs again."""
    return revived.job.state is JobState.RUNNING and revived.code != NONE


def at_time(records: Sequence[ev.Record], now: int) -> list[ev.Record]:
    """The records as they will stand when they are appended now (ms)."""
    return [msgspec.structs.replace(record, time=now) for record in records]
