"""What batches do to the tables, given as records and told as effects."""

from __future__ import annotations

import msgspec
from hypothesis import given

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.jobs import JobState
from millstream.core.jobs import fold as fold_job
from millstream.projections.effect import Effect
from millstream.projections.fold import fold, needed
from millstream.projections.histogram import bucket_of
from tests.projections.stage import life
from tests.strategies import START_MS, Pair, job_id, logs

SUBMITTED = ev.JobSubmitted("t", payload=wrap(1))
STARTED = ev.JobStarted(1, "w")
DONE = ev.JobSucceeded(wrap("ok"))
MINUTE = START_MS - START_MS % 60_000


def test_a_whole_life_in_one_batch_is_one_new_row() -> None:
    effect = fold(life(1, SUBMITTED, STARTED, DONE), {})
    (job,) = effect.created
    assert (job.state, job.version, job.seq) == (JobState.SUCCEEDED, 3, 3)
    assert effect.changed == []
    assert effect.counts == {("default", "t", "succeeded"): 1}


def test_a_life_cut_in_two_changes_the_row_and_moves_the_count() -> None:
    records = life(1, SUBMITTED, STARTED, DONE)
    first = fold(records[:1], {})
    before = msgspec.structs.replace(first.created[0])
    second = fold(records[1:], {job_id(1): before})
    assert second.created == []
    assert [job.state for job in second.changed] == [JobState.SUCCEEDED]
    assert second.counts == {("default", "t", "queued"): -1, ("default", "t", "succeeded"): 1}
    assert before == first.created[0], "the previous row is left as it was"


def test_each_event_counts_in_its_minute() -> None:
    failed = ev.JobAttemptFailed(ev.Fault("E", "no"), 10)
    effect = fold(life(1, SUBMITTED, STARTED, failed, ev.JobCancelled(), step_ms=30_000), {})
    at = [MINUTE + 60_000 * n for n in range(4)]
    told = {minute: row for (minute, _, _), row in effect.minutes.items()}
    expected = {}
    for position, field in ((1, 0), (2, 1), (3, 5), (4, 4)):
        time = START_MS + position * 30_000
        row = expected.setdefault(time - time % 60_000, [0] * 6)
        row[field] += 1
    assert told == expected
    assert set(told) <= set(at)


def test_waiting_and_running_are_measured() -> None:
    effect = fold(life(1, SUBMITTED, STARTED, DONE, step_ms=1234), {})
    found = {(kind, bucket): count for (*_, kind, bucket), count in effect.durations.items()}
    assert found == {("wait", bucket_of(1234)): 1, ("run", bucket_of(1234)): 1}


def test_an_unknown_event_parks_its_job_from_there_on_and_no_other() -> None:
    one, other = life(1, SUBMITTED, STARTED, DONE), life(2, SUBMITTED, seq=4)
    strange = msgspec.structs.replace(one[1], type="job.teleported")
    effect = fold([one[0], strange, one[2], *other], {})
    assert [(job.id, job.version) for job in effect.created] == [(job_id(1), 1), (job_id(2), 1)]
    assert [parked.record.seq for parked in effect.parked] == [2, 3]
    assert "job.teleported" in effect.parked[0].reason
    assert "earlier event" in effect.parked[1].reason
    assert len(effect.records) == 4, "the archive has them all"


def test_a_job_parked_before_stays_parked() -> None:
    effect = fold(life(1, SUBMITTED, STARTED)[1:], {}, {job_id(1)})
    assert [parked.record.seq for parked in effect.parked] == [2]
    assert effect.changed == effect.created == []


def test_an_illegal_transition_parks() -> None:
    effect = fold(life(1, SUBMITTED, DONE), {})
    assert [parked.record.seq for parked in effect.parked] == [2]
    assert effect.created[0].state is JobState.QUEUED


def test_an_unreadable_body_parks_and_is_kept_raw() -> None:
    (record,) = life(1, SUBMITTED)
    effect = fold([msgspec.structs.replace(record, body=b'{"type": \xff')], {})
    assert [parked.record.seq for parked in effect.parked] == [1]
    assert effect.raw == {1}
    assert effect.created == []


def test_a_readable_body_that_does_not_fit_is_kept_as_json() -> None:
    (record,) = life(1, SUBMITTED)
    effect = fold([msgspec.structs.replace(record, body=b'{"type": 7}')], {})
    assert len(effect.parked) == 1
    assert effect.raw == set()


def test_what_is_no_job_id_parks() -> None:
    (record,) = life(1, SUBMITTED)
    effect = fold([msgspec.structs.replace(record, job="job-1")], {})
    assert "UUIDv7" in effect.parked[0].reason
    assert effect.raw == {1}


def test_an_event_the_database_refused_parks() -> None:
    effect = fold(life(1, SUBMITTED, STARTED), {}, (), {1: "too long"})
    assert effect.parked[0].reason == "too long"
    assert len(effect.parked) == 2
    assert effect.raw == {1}


def test_events_of_workers_change_no_job() -> None:
    (record,) = life(1, ev.WorkerStarted("w"))
    effect = fold([msgspec.structs.replace(record, job="", version=0)], {})
    assert effect == Effect([effect.records[0]])


def test_only_jobs_that_began_before_are_needed() -> None:
    one, other = life(1, SUBMITTED, STARTED), life(2, SUBMITTED, STARTED, seq=3)
    assert needed([*one, other[1]]) == {job_id(2)}
    assert needed([other[1]], {job_id(2)}) == set()


@given(logs())
def test_the_rows_are_the_jobs_folded_one_by_one(log: list[Pair]) -> None:
    effect = fold([record for record, _ in log], {})
    assert effect.parked == []
    for job in effect.created:
        assert job == fold_job(pair for pair in log if pair[0].job == job.id)


def test_another_spec_is_told_apart_from_other_changes() -> None:
    other = ev.JobReplaced("t", payload=wrap(2), priority=1, delay_ms=1000)
    records = [*life(1, SUBMITTED, other), *life(2, SUBMITTED, STARTED, seq=3)]
    whole = fold(records, {})
    assert [job.payload for job in whole.created] == [wrap(2), wrap(1)]
    assert whole.replaced == [], "a new row holds it already"
    before = {job.id: job for job in fold([records[0], records[2]], {}).created}
    effect = fold([records[1], records[3]], before)
    assert [job.id for job in effect.changed] == [job_id(1), job_id(2)]
    (replaced,) = effect.replaced
    assert (replaced.id, replaced.payload, replaced.priority) == (job_id(1), wrap(2), 1)
    assert effect.counts == {
        ("default", "t", "queued"): -2,
        ("default", "t", "scheduled"): 1,
        ("default", "t", "running"): 1,
    }
