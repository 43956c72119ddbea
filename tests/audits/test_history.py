"""Each promise a history can break is broken once, and must be found by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from millstream.core import events as ev
from millstream.core.events import Record
from tests.core.verbs.mill import FAULT
from tests.invariants import Report, audit_history
from tests.strategies import START_MS, Pair, job_id, logs, record_of

SUBMITTED, STARTED = ev.JobSubmitted("noop", max_attempts=2), ev.JobStarted(1, "w1")
DONE = ev.JobSucceeded()


def life(*events: ev.Event, number: int = 1) -> list[Record]:
    """A log that holds the history of one job."""
    return [
        record_of(event, job=job_id(number), version=n, seq=n, time=START_MS + n)
        for n, event in enumerate(events, 1)
    ]


def without(records: Sequence[Record], at: int) -> list[Record]:
    return [record for n, record in enumerate(records) if n != at]


def changed(records: Sequence[Record], at: int, **fields: Any) -> list[Record]:
    return [replace(record, **fields) if n == at else record for n, record in enumerate(records)]


def renumbered(records: Sequence[Record]) -> list[Record]:
    """With contiguous seq, so that only versions tell what is missing."""
    return [replace(r, seq=n, entry=f"{r.time}-{n}") for n, r in enumerate(records, 1)]


WHOLE = life(SUBMITTED, STARTED, DONE)
RETRIED = life(
    SUBMITTED, STARTED, ev.JobAttemptFailed(FAULT, 5), ev.JobQueued("retry"),
    ev.JobStarted(2, "w2"), ev.JobLeaseExpired("w2", 1), ev.JobStarted(2, "w3"), DONE,
)  # fmt: skip

BROKEN: dict[str, tuple[list[Record], set[str]]] = {
    "an event is missing": (without(WHOLE, 1), {"seq-gap", "verdict-without-lease"}),
    "the first event is missing": (without(WHOLE, 0), {"log-starts-late"}),
    "a seq is given twice": (
        changed(WHOLE, 2, seq=2, entry=f"{START_MS + 9}-0"),
        {"seq-repeated"},
    ),
    "a seq is passed over": (changed(WHOLE, 2, seq=4), {"seq-gap"}),
    "the epoch goes back": (changed(changed(WHOLE, 0, epoch=2), 1, epoch=2), {"epoch-went-back"}),
    "the epoch rises by itself": (changed(WHOLE, 2, epoch=2), {"epoch-unexplained"}),
    "seq begins anew with the epoch": (
        [*WHOLE, replace(life(ev.QueueRestored())[0], job="", version=0, epoch=2)],
        {"seq-repeated"},
    ),
    "stream ids go back": (changed(WHOLE, 2, entry="5-0"), {"entry-order"}),
    "a step is done twice": (
        life(SUBMITTED, STARTED, ev.JobCheckpointed("a"), ev.JobCheckpointed("a"), DONE),
        {"step-twice"},
    ),
    "a job is further than its end": (
        life(SUBMITTED, STARTED, ev.JobProgressed(1.1), DONE),
        {"wrong-progress"},
    ),
    "progress of a job that does not run": (
        life(SUBMITTED, ev.JobProgressed(0.5), STARTED),
        {"illegal-transition"},
    ),
    "a worker is lost twice": (
        [
            record_of(event, job="", version=0, seq=n, time=START_MS + n)
            for n, event in enumerate(
                (ev.WorkerStarted("w1"), ev.WorkerLost("w1"), ev.WorkerLost("w1")), 1
            )
        ],
        {"worker-lost-twice"},
    ),
    "an event nobody knows": (changed(WHOLE, 1, type="job.exploded"), {"unknown-event"}),
    "a body nobody can read": (changed(WHOLE, 1, body=b"{"), {"unreadable-event"}),
    "a version is passed over": (changed(WHOLE, 2, version=4), {"version-gap"}),
    "a completion is doubled": (life(SUBMITTED, STARTED, DONE, DONE), {"completed-twice"}),
    "a failure after a success": (
        life(SUBMITTED, STARTED, DONE, ev.JobFailed("exhausted")),
        {"completed-twice"},
    ),
    "a late verdict after a cancel": (
        life(SUBMITTED, STARTED, ev.JobCancelled(), ev.JobAttemptFailed(FAULT, 5)),
        {"completed-twice"},
    ),
    "a start after the end": (life(SUBMITTED, STARTED, DONE, STARTED), {"event-after-end"}),
    "two leases at once": (
        life(SUBMITTED, STARTED, ev.JobStarted(1, "w2"), DONE),
        {"overlapping-lease"},
    ),
    "a verdict on a lease that was reaped": (
        life(SUBMITTED, STARTED, ev.JobLeaseExpired("w1", 1), DONE),
        {"verdict-without-lease"},
    ),
    "a verdict on a job never started": (life(SUBMITTED, DONE), {"verdict-without-lease"}),
    "a job submitted twice": (life(SUBMITTED, SUBMITTED), {"submitted-twice"}),
    "a job never submitted": (
        [*WHOLE, replace(WHOLE[1], job=job_id(2), seq=4, entry=f"{START_MS + 9}-0")],
        {"never-submitted"},
    ),
    "a redrive of a live job": (
        life(SUBMITTED, STARTED, ev.JobRedriven("ada")),
        {"illegal-transition"},
    ),
    "an attempt is passed over": (
        life(SUBMITTED, ev.JobStarted(2, "w1"), DONE),
        {"wrong-attempt"},
    ),
    "more attempts than allowed": (
        changed(RETRIED, 0, body=ev.body_of(ev.JobSubmitted("noop", max_attempts=1))),
        {"too-many-attempts"},
    ),
    "a crash is not counted": (
        life(SUBMITTED, STARTED, ev.JobLeaseExpired("w1", 2), STARTED, DONE),
        {"wrong-crashes"},
    ),
    "the death of a process is not counted": (
        life(SUBMITTED, STARTED, ev.JobLeaseExpired("w1", 1), STARTED,
             ev.JobCrashed("w1", 1, "exited with 3"), STARTED, DONE),
        {"wrong-crashes"},
    ),
    "a letter discarded twice": (
        life(SUBMITTED, ev.JobFailed("expired"), ev.JobDiscarded("ada"), ev.JobDiscarded("bob")),
        {"discarded-twice"},
    ),
    "a second start without a cause": (
        life(SUBMITTED, STARTED, ev.JobQueued("due"), STARTED, DONE),
        {"rerun-unexplained"},
    ),
    "a start whose cause was another's": (
        life(SUBMITTED, STARTED, ev.JobLeaseExpired("w1", 1), STARTED,
             ev.JobQueued("due"), STARTED, DONE),
        {"rerun-unexplained"},
    ),
    "the death of a process whose lease was over": (
        life(SUBMITTED, STARTED, ev.JobLeaseExpired("w1", 1), ev.JobCrashed("w1", 2, "killed")),
        {"verdict-without-lease"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_broken_history_is_found(what: str) -> None:
    records, names = BROKEN[what]
    report = audit_history(records)
    assert report.names == names
    with pytest.raises(AssertionError, match=sorted(names)[0]):
        report.require()


@given(logs())
def test_a_sound_history_is_sound(log: list[Pair]) -> None:
    records = [record for record, _ in log]
    report = audit_history(records, {record.job for record in records}).require()
    assert report.events == len(records)


@given(logs(max_jobs=3, max_size=6))
def test_no_event_can_be_lost_or_doubled_unnoticed(log: list[Pair]) -> None:
    records = [record for record, _ in log]
    for at in range(len(records) - 1):
        assert audit_history(without(records, at)).violations
        last = {record.job: record for record in records}
        if last[records[at].job] is not records[at]:
            assert audit_history(renumbered(without(records, at))).violations
    for at in range(len(records)):
        doubled = renumbered([*records[: at + 1], *records[at:]])
        assert audit_history(doubled).violations


def test_a_lost_submission_is_found() -> None:
    report = audit_history(WHOLE, [job_id(1), job_id(2)], drained=True)
    assert [(one.name, one.where) for one in report.violations] == [
        ("acknowledged-lost", job_id(2))
    ]


@pytest.mark.parametrize("last", range(1, len(RETRIED)))
def test_a_job_that_never_ended_is_found_once_all_is_over(last: int) -> None:
    audit_history(RETRIED[:last], [job_id(1)]).require()
    assert audit_history(RETRIED[:last], [job_id(1)], drained=True).names == {"unfinished"}


def test_a_redriven_job_has_to_end_again() -> None:
    redriven = life(SUBMITTED, STARTED, DONE, ev.JobRedriven("ada"))
    assert audit_history(redriven, drained=True).names == {"unfinished"}


def test_what_ran_more_than_once_is_told_with_its_reasons() -> None:
    report = audit_history(RETRIED, drained=True).require()
    reasons = ["its attempt failed with ValueError", "the lease of w2 expired"]
    assert report.reruns == {job_id(1): reasons}
    assert f"job {job_id(1)} ran 3 times: {'; '.join(reasons)}" in str(report)
    assert report.causes == {reasons[0]: 1, "the lease of … expired": 1}
    assert audit_history(WHOLE).reruns == {}


def test_partitions_are_counted_apart() -> None:
    other = [replace(r, partition="other", job=job_id(2)) for r in WHOLE]
    mixed = [record for pair in zip(WHOLE, other, strict=True) for record in pair]
    assert len(audit_history(mixed, drained=True).require().jobs) == 2


def test_a_report_of_many_is_cut() -> None:
    report = Report()
    for n in range(60):
        report.add("seq-gap", str(n), "x")
    assert "and 10 more" in str(report)
