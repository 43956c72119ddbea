"""Audits events alone: order, versions, transitions, leases, and that no submission was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from millstream.core import events as ev
from millstream.core.errors import IllegalTransition, UnknownEvent, UnreadableEvent
from millstream.core.jobs import Job, JobState, advance, begin
from millstream.core.upcast import decode

from .report import Report
from .schedules import Fired

VERDICTS = (ev.JobSucceeded, ev.JobAttemptFailed, ev.JobSnoozed, ev.JobReleased)
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
    why: str = "no reason in the log"
    broken: bool = False
    ended: bool = False
    steps: dict[str, bytes] = field(default_factory=dict)
    """Step → body of its event, since it was submitted, replaced or redriven."""


class History:
    """Takes the records of any number of partitions, each partition's in their order."""

    def __init__(self) -> None:
        self.report = Report()
        self.tracks: dict[str, Track] = {}
        self.fired = Fired()
        self._last: dict[str, ev.Record] = {}
        self.late: set[str] = set()

    def take(self, record: ev.Record) -> None:
        """Audit one more record."""
        self.report.events += 1
        self._check_order(record)
        try:
            event = decode(record)
        except (UnknownEvent, UnreadableEvent) as error:
            name = "unknown-event" if isinstance(error, UnknownEvent) else "unreadable-event"
            self.report.add(name, record.position, str(error))
            if record.job in self.tracks:
                self.tracks[record.job].broken = True
            return
        if record.job:
            self._apply(record, event)
        if record.partition not in self.late:
            self.fired.take(record, event, self.report)

    def _check_order(self, record: ev.Record) -> None:
        last = self._last.get(record.partition)
        self._last[record.partition] = record
        add, at = self.report.add, record.position
        if last is None:
            if record.seq != 1:
                self.late.add(record.partition)
                add("log-starts-late", at, f"expected seq 1, got {record.seq}")
            return
        if record.epoch < last.epoch:
            add("epoch-went-back", at, f"expected epoch {last.epoch} or more, got {record.epoch}")
        if record.epoch > last.epoch and record.type != ev.QueueRestored.name:
            add("epoch-unexplained", at, f"expected queue.restored, got {record.type}")
        if record.epoch > last.epoch and record.seq <= last.seq:
            add("seq-repeated", at, f"expected seq {last.seq + 1}, got {record.seq}")
        if record.seq <= last.seq and record.epoch == last.epoch:
            add("seq-repeated", at, f"expected seq {last.seq + 1}, got {record.seq}")
        if record.seq > last.seq + 1:
            add("seq-gap", at, f"expected seq {last.seq + 1}, got {record.seq}")
        if record.epoch == last.epoch and _entry(record) <= _entry(last):
            add("entry-order", at, f"expected a stream id after {last.entry}, got {record.entry}")

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
        self.tracks[record.job] = Track(job, record.body)
        self.report.jobs[record.job] = job

    def _check_counts(self, track: Track, record: ev.Record, event: ev.Event) -> None:
        add, at, job = self.report.add, record.position, track.job
        if isinstance(event, ev.JobStarted):
            if event.attempt != track.tries + 1:
                add("wrong-attempt", at, f"expected {track.tries + 1}, got {event.attempt}")
            if event.attempt > job.max_attempts:
                add("too-many-attempts", at, f"expected {job.max_attempts}, got {event.attempt}")
        elif isinstance(event, ev.JobCheckpointed) and event.step in track.steps:
            add("step-twice", at, f"expected step {event.step!r} once")
        elif isinstance(event, ev.JobLeaseExpired) and event.crashes != job.crashes + 1:
            add("wrong-crashes", at, f"expected {job.crashes + 1}, got {event.crashes}")

    def _note(self, track: Track, record: ev.Record, event: ev.Event) -> None:
        match event:
            case ev.JobStarted():
                track.starts += 1
                if track.starts > 1:
                    self.report.reruns.setdefault(track.job.id, []).append(track.why)
            case ev.JobAttemptFailed():
                track.tries += 1
            case ev.JobRedriven():
                track.tries, track.ended, track.steps = 0, False, {}
            case ev.JobReplaced():
                track.tries, track.spec, track.steps = 0, record.body, {}
            case ev.JobCheckpointed(step=step):
                track.steps[step] = record.body
            case _:
                pass
        track.why = _why(event) or track.why

    def close(self, acknowledged: Iterable[str], *, drained: bool) -> Report:
        """Audit the whole: what was acknowledged is there and, if `drained`, has ended."""
        for job in acknowledged:
            if job not in self.tracks:
                self.report.add("acknowledged-lost", job, "expected its submission in the log")
        self.fired.close(self.report)
        if drained:
            for job, track in self.tracks.items():
                if not track.ended:
                    state = track.job.state.value
                    self.report.add("unfinished", job, f"expected an end, got state {state}")
        return self.report


def audit_history(
    records: Iterable[ev.Record], acknowledged: Iterable[str] = (), *, drained: bool = False
) -> Report:
    """Audit a recorded history; the records of each partition in their order."""
    history = History()
    for record in records:
        history.take(record)
    return history.close(acknowledged, drained=drained)


def _entry(record: ev.Record) -> tuple[int, int]:
    ms, n = record.entry.split("-")
    return int(ms), int(n)


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
        case ev.JobReleased(reason=reason):
            return f"it was released: {reason}"
        case ev.JobSnoozed():
            return "it was snoozed"
        case ev.JobQueued(cause="group_lost"):
            return "the consumer group was lost"
        case ev.JobRedriven(actor=actor):
            return f"it was redriven by {actor or 'somebody'}"
        case _:
            return None
