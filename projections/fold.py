"""What a batch of records of one partition does to the tables: pure, so that it can be checked.

The projector applies an `Effect` in one transaction. The same function, given a whole log as one
batch and no previous rows, tells what the tables must hold.
"""

import copy
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from ..core import events as ev
from ..core.errors import IllegalTransition, MillstreamError, UnknownEvent, UnreadableEvent
from ..core.fingerprint import fingerprint_of
from ..core.jobs import Job, JobState, advance, begin
from ..core.upcast import decode
from .effect import MINUTE_FIELDS, Effect, Failures, Group, Parked, joined
from .flow_changes import FlowChanges
from .histogram import bucket_of
from .noting import Notes

VERSION = 1
"""Of what the tables hold of one log: raised by a release whose fold tells it otherwise, so that
operators are told to rebuild."""

MINUTE_MS = 60_000

_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def is_job_id(text: str) -> bool:
    """Whether `text` can be the id of a job: a UUIDv7 in lower case."""
    return _JOB_ID.fullmatch(text) is not None


def needed(records: Sequence[ev.Record], parked: Collection[str] = ()) -> set[str]:
    """The jobs whose previous rows `fold` needs: those that do not begin in this batch."""
    begun = {record.job for record in records if record.version == 1}
    others = {record.job for record in records if record.version > 1}
    return (others - begun).difference(parked)


def fold(
    records: Sequence[ev.Record],
    previous: Mapping[str, Job],
    parked: Collection[str] = (),
    refused: Mapping[int, str] | None = None,
    noted: Sequence[ev.Record] = (),
) -> Effect:
    """Fold a batch on the previous rows of its jobs, which are left as they were.

    `parked`: jobs with a parked event; theirs are parked too. `refused`: seq → reason, of events
    the database would not take. `noted`: events, in order, after which counts are to be noted.
    """
    batch = _Batch(previous, parked, refused or {})
    begun = 0
    for place in noted:
        part = records[begun : bisect_right(records, place.seq, key=_seq_of)]
        for record in part:
            batch.take(record)
        batch.notes.note(place, part)
        begun += len(part)
    for record in records[begun:] if begun else records:
        batch.take(record)
    return batch.effect(records)


def _seq_of(record: ev.Record) -> int:
    return record.seq


class _Batch:
    """The jobs of a batch on their way through it."""

    def __init__(
        self, previous: Mapping[str, Job], parked: Collection[str], refused: Mapping[int, str]
    ) -> None:
        self._previous = previous
        self._parked_before = parked
        self._parked_now: set[str] = set()
        self._refused = refused
        self._jobs: dict[str, Job] = {}
        self._parked: list[Parked] = []
        self._raw: set[int] = set()
        self._replaced: set[str] = set()
        self._minutes: dict[tuple[int, str, str], list[int]] = {}
        self._durations: dict[tuple[int, str, str, str, int], int] = defaultdict(int)
        self._failures: dict[Group, Failures] = {}
        self.flows = FlowChanges()
        self.notes = Notes(self._jobs, previous)

    def take(self, record: ev.Record) -> None:
        try:
            event = decode(record)
            if not record.job:
                self._check_free(record)
                return
            job = self._applied(record, event)
        except (UnknownEvent, UnreadableEvent, IllegalTransition, _Refused) as error:
            self._park(record, str(error))
            return
        if job.flow is not None:
            self.flows.touch(job.flow, record.time)
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, job, event, record.time)

    def _applied(self, record: ev.Record, event: ev.Event) -> Job:
        job = self._jobs.get(record.job)
        if job is not None and not self._refused and record.job not in self._parked_now:
            advance(job, record, event)
            return job
        self._check_free(record)
        if job is None:
            before = self._previous.get(record.job)
            if before is None:
                if not is_job_id(record.job):
                    raise _Refused(f"expected a job id (a UUIDv7), got: {record.job!r}")
                job = begin(record, event)
            else:
                job = copy.copy(before)
                advance(job, record, event)
            self._jobs[record.job] = job
        else:
            advance(job, record, event)
        return job

    def _check_free(self, record: ev.Record) -> None:
        if record.seq in self._refused:
            raise _Refused(self._refused[record.seq])
        job = record.job
        if not job:
            return
        if job in self._parked_now or job in self._parked_before:
            raise _Refused("an earlier event of this job was parked")

    def _park(self, record: ev.Record, reason: str) -> None:
        self._parked.append(Parked(record, reason))
        if record.seq in self._refused or not _is_plain(record):
            self._raw.add(record.seq)
        if record.job:
            self._parked_now.add(record.job)

    def count(self, job: Job, field: int, time: int) -> None:
        key = (time - time % MINUTE_MS, job.queue, job.type)
        row = self._minutes.get(key)
        if row is None:
            row = self._minutes[key] = [0] * len(MINUTE_FIELDS)
        row[field] += 1

    def measure(self, job: Job, kind: str, since: int | None, time: int) -> None:
        if since is not None:
            minute = time - time % MINUTE_MS
            self._durations[minute, job.queue, job.type, kind, bucket_of(time - since)] += 1

    def replace(self, job: Job) -> None:
        self._replaced.add(job.id)

    def fail(self, job: Job, time: int) -> None:
        assert job.fingerprint is not None
        assert job.failure is not None
        group = (job.queue, job.type, job.failure, job.fingerprint)
        label = fingerprint_of(job.failure, job.error).label
        failures = Failures(label, time, time, job.id)
        before = self._failures.get(group)
        self._failures[group] = failures if before is None else joined(before, failures)

    def effect(self, records: Sequence[ev.Record]) -> Effect:
        created: list[Job] = []
        changed: list[Job] = []
        counts: dict[tuple[str, str, JobState], int] = defaultdict(int)
        letters: dict[Group, int] = defaultdict(int)
        for job in self._jobs.values():
            counts[job.queue, job.type, job.state] += 1
            if job.fingerprint is not None:
                _count_letter(letters, job, 1)
            self.flows.count(job, 1)
            before = self._previous.get(job.id)
            if before is None:
                created.append(job)
            else:
                changed.append(job)
                counts[before.queue, before.type, before.state] -= 1
                self.flows.count(before, -1)
                if before.fingerprint is not None:
                    _count_letter(letters, before, -1)
        # By id: neighbours in the table are then written together.
        created.sort(key=_id_of)
        changed.sort(key=_id_of)
        return Effect(
            records,
            created,
            changed,
            [job for job in changed if job.id in self._replaced] if self._replaced else [],
            {key: count for key, count in counts.items() if count},
            self._minutes,
            dict(self._durations),
            self._parked,
            self._raw,
            self._failures,
            {group: count for group, count in letters.items() if count},
            self.flows.links,
            self.flows.changes,
            self.notes.noted((state, count) for (_, _, state), count in counts.items()),
        )


class _Refused(MillstreamError):
    """An event is parked for a reason that is not in the event itself."""


def _is_plain(record: ev.Record) -> bool:
    """Whether the columns of the archive hold a record that could not be applied."""
    try:
        record.body.decode()
        msgspec.json.decode(record.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return "\0" not in record.type and (not record.job or is_job_id(record.job))


def _count_letter(letters: dict[Group, int], job: Job, count: int) -> None:
    """Count a failed job among the dead letters, if it is one."""
    if not job.discarded and job.failure is not None and job.fingerprint is not None:
        letters[job.queue, job.type, job.failure, job.fingerprint] += count


def _id_of(job: Job) -> str:
    return job.id


def _submitted(batch: _Batch, job: Job, event: ev.JobSubmitted, time: int) -> None:
    batch.count(job, 0, time)
    if event.depends_on:
        batch.flows.link(job, event.depends_on)


def _replaced(batch: _Batch, job: Job, event: ev.JobReplaced, time: int) -> None:
    batch.replace(job)


def _extended(batch: _Batch, job: Job, event: ev.JobExtended, time: int) -> None:
    batch.flows.link(job, event.parents)


def _started(batch: _Batch, job: Job, event: ev.JobStarted, time: int) -> None:
    batch.count(job, 1, time)
    batch.measure(job, "wait", job.ready_at, time)


def _succeeded(batch: _Batch, job: Job, event: ev.JobSucceeded, time: int) -> None:
    batch.count(job, 2, time)
    batch.measure(job, "run", job.started_at, time)


def _failed(batch: _Batch, job: Job, event: ev.JobFailed, time: int) -> None:
    batch.count(job, 3, time)
    batch.fail(job, time)


def _cancelled(batch: _Batch, job: Job, event: ev.JobCancelled, time: int) -> None:
    batch.count(job, 4, time)


def _attempt_failed(batch: _Batch, job: Job, event: ev.JobAttemptFailed, time: int) -> None:
    if event.retry_ms is not None:
        batch.count(job, 5, time)
    batch.measure(job, "run", job.started_at, time)


_NOTES: dict[type[ev.Event], Callable[[_Batch, Job, Any, int], None]] = {
    ev.JobSubmitted: _submitted,
    ev.JobReplaced: _replaced,
    ev.JobExtended: _extended,
    ev.JobStarted: _started,
    ev.JobSucceeded: _succeeded,
    ev.JobFailed: _failed,
    ev.JobCancelled: _cancelled,
    ev.JobAttemptFailed: _attempt_failed,
}
