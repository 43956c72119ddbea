"""Audits events alone: order, versions, transitions, leases, and that no submission was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import events as ev
from ..errors import IllegalTransition, UnknownEvent, UnreadableEvent
from ..jobs import Job, JobState, advance, begin
from ..upcast import decode
from .firings import Fired
from .joins import audit_joins
from .order import Order
from .report import Report

VERDICTS = (ev.JobSucceeded, ev.JobAttemptFailed, ev.JobSnoozed, ev.JobReleased, ev.JobCrashed)
ENDS = (ev.JobSucceeded, ev.JobFailed, ev.JobCancelled)


@dataclass
class Track:
    """A job on its way through its history.

    tries   attempts that have ended since it was submitted or redriven
    why     what will have caused its next start, if it was started before
    broken  a violation was found: what follows from it is not reported again
    ended   it came to an end, be it in a broken history
    """

    job: Job
    spec: bytes
    tries: int = 0
    starts: int = 0
    why: str | None = None
    broken: bool = False
    ended: bool = False
    parents: set[str] = field(default_factory=set)
    """Jobs it ever waited for; `open` among them while there may be more to come."""
    outcomes: set[str] = field(default_factory=set)
    """How it ever ended: succeeded, failed, cancelled."""
    joined: bool = False
    steps: dict[str, bytes] = field(default_factory=dict)
    """Step → body of its event, since it was submitted, replaced or redriven."""


class History:
    """Takes the records of any number of partitions, each partition's in their order."""

    def __init__(self) -> None:
        self.report = Report()
        self.tracks: dict[str, Track] = {}
        self.fired = Fired()
        self._order = Order(self.report)
        self.late: set[str] = self._order.late
        self._blamed: list[tuple[str, str, str]] = []
        self._serving: set[tuple[str, str]] = set()

    def take(self, record: ev.Record) -> ev.Event | None:
        """Audit one more record; None if it cannot be read."""
        self.report.events += 1
        self._order.take(record)
        event = self.follow(record)
        if event is None:
            return None
        self._check_worker(record, event)
        if record.partition not in self.late:
            self.fired.take(record, event, self.report)
        return event

    def follow(self, record: ev.Record) -> ev.Event | None:
        """Audit one more record of its job, whatever stands between the two in the log; None if
        it cannot be read."""
        try:
            event = decode(record)
        except (UnknownEvent, UnreadableEvent) as error:
            name = "unknown-event" if isinstance(error, UnknownEvent) else "unreadable-event"
            self.report.add(name, record.position, str(error))
            if record.job in self.tracks:
                self.tracks[record.job].broken = True
            return None
        if record.job:
            self._apply(record, event)
        return event

    def _apply(self, record: ev.Record, event: ev.Event) -> None:
        track = self.tracks.get(record.job)
        if track is None:
            self._begin(record, event)
            return
        track.ended = track.ended or isinstance(event, ENDS)
        if track.broken:
            return
        self._check_counts(track, record, event)
        try:
            advance(track.job, record, event)
        except IllegalTransition as error:
            track.broken = True
            self.report.add(_name(track.job, record, event), record.position, str(error))
            return
        self._note(track, record, event)

    def _begin(self, record: ev.Record, event: ev.Event) -> None:
        try:
            job = begin(record, event)
        except IllegalTransition as error:
            if record.partition not in self.late:
                self.report.add("never-submitted", record.position, str(error))
            return
        track = self.tracks[record.job] = Track(job, record.body)
        if isinstance(event, ev.JobSubmitted):
            track.parents = {*event.depends_on, *(["open"] if event.open else [])}
        self.report.jobs[record.job] = job

    def _check_worker(self, record: ev.Record, event: ev.Event) -> None:
        match event:
            case ev.WorkerStarted(worker=worker):
                self._serving.add((record.partition, worker))
            case ev.WorkerStopped(worker=worker):
                self._serving.discard((record.partition, worker))
            case ev.WorkerLost(worker=worker):
                known = (record.partition, worker) in self._serving
                if not known and record.partition not in self.late:
                    self.report.add("worker-lost-twice", record.position, f"{worker} had gone")
                self._serving.discard((record.partition, worker))
            case _:
                pass

    def _check_counts(self, track: Track, record: ev.Record, event: ev.Event) -> None:
        add, at, job = self.report.add, record.position, track.job
        if isinstance(event, ev.JobStarted):
            if event.attempt != track.tries + 1:
                add("wrong-attempt", at, f"expected {track.tries + 1}, got {event.attempt}")
            if event.attempt > job.max_attempts:
                add("too-many-attempts", at, f"expected {job.max_attempts}, got {event.attempt}")
        elif isinstance(event, ev.JobCheckpointed) and event.step in track.steps:
            add("step-twice", at, f"expected step {event.step!r} once")
        elif isinstance(event, ev.JobProgressed) and not 0 <= event.value <= 1:
            add("wrong-progress", at, f"expected 0 to 1, got {event.value}")
        elif (
            isinstance(event, ev.JobLeaseExpired | ev.JobCrashed)
            and event.crashes != job.crashes + 1
        ):
            add("wrong-crashes", at, f"expected {job.crashes + 1}, got {event.crashes}")

    def _note(self, track: Track, record: ev.Record, event: ev.Event) -> None:
        match event:
            case ev.JobStarted():
                track.starts += 1
                if track.starts > 1:
                    self._explain(track, record)
                track.why = None
            case ev.JobAttemptFailed():
                track.tries += 1
            case ev.JobRedriven():
                track.tries, track.ended, track.steps = 0, False, {}
            case ev.JobReplaced():
                track.tries, track.spec, track.steps = 0, record.body, {}
            case ev.JobExtended(parents=parents):
                track.parents.update(parents)
            case ev.JobJoined():
                track.joined = True
            case ev.JobSucceeded() | ev.JobFailed() | ev.JobCancelled():
                track.outcomes.add(track.job.state.value)
                if isinstance(event, ev.JobFailed) and event.parent is not None:
                    self._blamed.append((track.job.id, event.reason, event.parent))
            case ev.JobClosed():
                track.parents.discard("open")
            case ev.JobCheckpointed(step=step):
                track.steps[step] = record.body
            case _:
                pass
        track.why = _why(event) or track.why

    def _explain(self, track: Track, record: ev.Record) -> None:
        """A start after the first one has a reason, and one of its own."""
        if track.why is None:
            self.report.add("rerun-unexplained", record.position, "expected a reason in the log")
        self.report.reruns.setdefault(track.job.id, []).append(track.why or "for no reason")

    def close(self, acknowledged: Iterable[str], *, drained: bool) -> Report:
        """Audit the whole: what was acknowledged is there and, if `drained`, has ended."""
        for job in acknowledged:
            if job not in self.tracks:
                self.report.add("acknowledged-lost", job, "expected its submission in the log")
        self.fired.close(self.report)
        audit_joins(self.report, self.tracks, self._blamed)
        if drained:
            for job, track in self.tracks.items():
                if not track.ended:
                    state = track.job.state.value
                    self.report.add("unfinished", job, f"expected an end, got state {state}")
        return self.report


def _name(job: Job, record: ev.Record, event: ev.Event) -> str:
    """Which invariant an illegal event breaks."""
    if isinstance(event, ev.JobSubmitted):
        return "submitted-twice"
    if isinstance(event, ev.JobDiscarded) and job.discarded:
        return "discarded-twice"
    if job.terminal and not isinstance(event, ev.JobRedriven | ev.JobDiscarded):
        return "completed-twice" if isinstance(event, (*ENDS, *VERDICTS)) else "event-after-end"
    if isinstance(event, ev.JobStarted) and job.state is JobState.RUNNING:
        return "overlapping-lease"
    if isinstance(event, VERDICTS) and job.state is not JobState.RUNNING:
        return "verdict-without-lease"
    return "version-gap" if record.version != job.version + 1 else "illegal-transition"


def _why(event: ev.Event) -> str | None:
    match event:
        case ev.JobAttemptFailed(error=error):
            return f"its attempt failed with {error.type}"
        case ev.JobLeaseExpired(worker=worker):
            return f"the lease of {worker} expired"
        case ev.JobCrashed(worker=worker, cause=cause):
            return f"its process at {worker} died: {cause}"
        case ev.JobReleased(reason=reason):
            return f"it was released: {reason}"
        case ev.JobSnoozed():
            return "it slept, or was snoozed"
        case ev.JobQueued(cause="group_lost"):
            return "the consumer group was lost"
        case ev.JobRedriven(actor=actor):
            return f"it was redriven by {actor or 'somebody'}"
        case _:
            return None
