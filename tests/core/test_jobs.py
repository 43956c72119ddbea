"""The state machine: what each event changes, and laws that hold for every history."""

from __future__ import annotations

import copy
import itertools

import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.errors import IllegalTransition
from millstream.core.fingerprint import fingerprint_of
from millstream.core.jobs import (
    ALLOWED,
    LIVE,
    JobState,
    Progress,
    advance,
    begin,
    fold,
)
from tests.strategies import START_MS

from .lives import DONE, FAULT, ID, RUNNING, SAMPLES, SUBMITTED, record_at, told


def test_submitted_job_is_ready_at_once() -> None:
    job = told(SUBMITTED)
    assert (job.state, job.version, job.seq, job.epoch) == (JobState.QUEUED, 1, 10, 1)
    assert (job.id, job.queue, job.type, job.priority) == (ID, "default", "mail", 3)
    assert job.submitted_at == job.run_at == job.ready_at == START_MS
    assert job.payload.decode() == {"to": "ada"}
    assert job.tags == ["a"]
    assert job.position == "default:1:10"


@pytest.mark.parametrize(
    ("spec", "run_at"),
    [
        (ev.JobSubmitted("mail", delay_ms=0), START_MS),
        (ev.JobSubmitted("mail", delay_ms=90), START_MS + 90),
        (ev.JobSubmitted("mail", run_at=START_MS + 7), START_MS + 7),
        (ev.JobSubmitted("mail", run_at=0), 0),
    ],
)
def test_submitted_with_a_time_waits_for_it(spec: ev.JobSubmitted, run_at: int) -> None:
    job = told(spec)
    assert (job.state, job.run_at, job.ready_at) == (JobState.SCHEDULED, run_at, None)


def test_queued_when_due() -> None:
    job = told(ev.JobSubmitted("mail", delay_ms=500), ev.JobQueued("due"))
    assert (job.state, job.ready_at, job.run_at) == (
        JobState.QUEUED,
        START_MS + 1000,
        START_MS + 500,
    )


def test_started() -> None:
    job = told(*RUNNING)
    assert (job.state, job.attempt, job.worker) == (JobState.RUNNING, 1, "w1")
    assert job.started_at == START_MS + 1000
    assert job.ready_at == START_MS  # so that its wait can be measured


def test_succeeded() -> None:
    job = told(*RUNNING, ev.JobSucceeded(wrap([1, 2])))
    assert (job.state, job.finished_at) == (JobState.SUCCEEDED, START_MS + 2000)
    assert job.result is not None
    assert job.result.decode() == [1, 2]


def test_success_after_a_failure_leaves_no_error() -> None:
    again = ev.JobAttemptFailed(FAULT, 5), ev.JobQueued("retry"), ev.JobStarted(2, "w2")
    assert told(*RUNNING, *again).error == FAULT
    assert told(*RUNNING, *again, ev.JobSucceeded()).error is None


def test_attempt_failed_waits_for_its_retry() -> None:
    job = told(*RUNNING, ev.JobAttemptFailed(FAULT, 500))
    assert (job.state, job.run_at) == (JobState.RETRYING, START_MS + 2500)
    assert (job.error, job.finished_at) == (FAULT, None)


def test_the_last_attempt_fails_and_the_job_with_it() -> None:
    job = told(*RUNNING, ev.JobAttemptFailed(FAULT), ev.JobFailed("exhausted"))
    assert (job.state, job.failure, job.error) == (JobState.FAILED, "exhausted", FAULT)
    assert job.finished_at == START_MS + 3000


def test_failed_with_an_error_of_its_own() -> None:
    other = ev.Fault("Gone", "no handler")
    assert told(SUBMITTED, ev.JobFailed("handler_missing", other)).error == other


def test_snoozed_costs_no_attempt() -> None:
    job = told(*RUNNING, ev.JobSnoozed(500), ev.JobQueued("due"), ev.JobStarted(1, "w1"))
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)
    snoozed = told(*RUNNING, ev.JobSnoozed(500))
    assert (snoozed.state, snoozed.run_at) == (JobState.SCHEDULED, START_MS + 2500)


def test_released() -> None:
    at_once = told(*RUNNING, ev.JobReleased("drain"))
    assert (at_once.state, at_once.ready_at) == (JobState.QUEUED, START_MS + 2000)
    later = told(*RUNNING, ev.JobReleased("handler_missing", 700))
    assert (later.state, later.run_at) == (JobState.SCHEDULED, START_MS + 2700)


def test_lease_expired_is_queued_one_crash_richer() -> None:
    job = told(*RUNNING, ev.JobLeaseExpired("w1", 1))
    assert (job.state, job.crashes, job.ready_at) == (JobState.QUEUED, 1, START_MS + 2000)


def test_crashed_is_queued_one_crash_richer() -> None:
    job = told(*RUNNING, ev.JobCrashed("w1", 1, "exited with 3"))
    assert (job.state, job.crashes, job.ready_at) == (JobState.QUEUED, 1, START_MS + 2000)
    assert job.attempt == 1


def test_crashed_with_a_wait_is_scheduled() -> None:
    job = told(*RUNNING, ev.JobCrashed("w1", 1, "exited with 3", 1500))
    assert (job.state, job.crashes, job.run_at) == (JobState.SCHEDULED, 1, START_MS + 3500)


def test_cancel_requested_goes_on_running() -> None:
    job = told(*RUNNING, ev.JobCancelRequested("ada"))
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)


def test_checkpointed_goes_on_running() -> None:
    job = told(*RUNNING, ev.JobCheckpointed("charge", wrap({"receipt": 7})))
    assert (job.state, job.attempt, job.result) == (JobState.RUNNING, 1, None)


def test_progressed_tells_how_far_the_attempt_is() -> None:
    half = (*RUNNING, ev.JobProgressed(0.5, "page 2 of 4"))
    job = told(*half)
    assert job.state is JobState.RUNNING
    assert job.progress == Progress(0.5, "page 2 of 4", START_MS + 2000)
    failed = told(*half, ev.JobAttemptFailed(FAULT, 500))
    assert failed.progress == job.progress, "it tells how far the attempt came"
    again = told(*half, ev.JobAttemptFailed(FAULT, 500), ev.JobQueued("retry"),
                 ev.JobStarted(2, "w2"))  # fmt: skip
    assert again.progress is None


def test_a_job_that_told_its_progress_and_succeeded_is_through() -> None:
    assert told(*RUNNING, ev.JobProgressed(0.5, "page 2"), DONE).progress == Progress(
        1.0, "", START_MS + 3000
    )
    assert told(*RUNNING, DONE).progress is None
    redriven = told(*RUNNING, ev.JobProgressed(0.5), ev.JobCancelled(), ev.JobRedriven())
    assert redriven.progress is None


def test_cancelled() -> None:
    job = told(SUBMITTED, ev.JobCancelled("ada"))
    assert (job.state, job.finished_at) == (JobState.CANCELLED, START_MS + 1000)


def test_redriven_begins_afresh() -> None:
    spec = ev.JobSubmitted("mail", expires_at=START_MS + 10**6)
    job = told(
        spec,
        ev.JobStarted(1, "w1"),
        ev.JobLeaseExpired("w1", 1),
        ev.JobStarted(1, "w2"),
        ev.JobCancelRequested("ada"),
        ev.JobAttemptFailed(FAULT),
        ev.JobFailed("exhausted"),
        ev.JobRedriven("ada"),
    )
    assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 0, 0)
    assert (job.error, job.failure, job.result, job.finished_at) == (None, None, None, None)
    assert (job.expires_at, job.cancel_requested) == (None, False)
    assert job.run_at == job.ready_at == START_MS + 7000
    assert job.submitted_at == START_MS


FAILED = (*RUNNING, ev.JobAttemptFailed(FAULT), ev.JobFailed("exhausted"))


def test_redriven_for_later_waits_for_its_time() -> None:
    job = told(*FAILED, ev.JobRedriven("ada", run_at=START_MS + 9000, command="c1"))
    assert (job.state, job.run_at, job.ready_at) == (JobState.SCHEDULED, START_MS + 9000, None)
    assert job.command == "c1"
    again = told(
        *FAILED,
        ev.JobRedriven(command="c1"),
        ev.JobCancelled(),
        ev.JobRedriven(),
        ev.JobStarted(1, "w"),
    )
    assert (again.state, again.command) == (JobState.RUNNING, None)


def test_a_failed_job_has_a_fingerprint_until_it_runs_again() -> None:
    job = told(*FAILED)
    assert job.fingerprint == fingerprint_of("exhausted", FAULT).digest
    assert told(*FAILED, ev.JobRedriven("ada")).fingerprint is None
    assert told(*RUNNING, ev.JobAttemptFailed(FAULT, 5)).fingerprint is None


def test_discarded_stays_failed_and_can_only_be_redriven() -> None:
    job = told(*FAILED, ev.JobDiscarded("ada"))
    assert (job.state, job.discarded, job.failure) == (JobState.FAILED, True, "exhausted")
    assert job.finished_at == START_MS + 3000
    with pytest.raises(
        IllegalTransition, match=r"job\.discarded cannot follow the end, discarded,"
    ):
        told(*FAILED, ev.JobDiscarded("ada"), ev.JobDiscarded("eve"))
    again = told(*FAILED, ev.JobDiscarded("ada"), ev.JobRedriven("eve"))
    assert (again.state, again.discarded) == (JobState.QUEUED, False)
    for end in (ev.JobSucceeded(), ev.JobCancelled()):
        with pytest.raises(IllegalTransition):
            told(*RUNNING, end, ev.JobDiscarded("ada"))


def test_every_event_of_a_job_has_a_rule_and_every_live_state_a_way_out() -> None:
    jobs = {kind for kind in ev.KINDS.values() if kind.name.startswith("job.")}
    assert set(ALLOWED) == jobs
    for state in LIVE:
        assert any(state in before for before in ALLOWED.values())


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (state, event)
        for state, event in itertools.product(JobState, SAMPLES)
        if state not in ALLOWED.get(type(event), ())
    ],
)
def test_an_event_that_cannot_follow_is_refused_and_changes_nothing(
    state: JobState, event: ev.Event
) -> None:
    job = told(SUBMITTED)
    job.state = state
    before = copy.deepcopy(job)
    with pytest.raises(IllegalTransition, match=rf"at default:1:11: .*state {state.value}"):
        advance(job, record_at(1, event), event)
    assert job == before


@pytest.mark.parametrize("event", SAMPLES[1:], ids=lambda event: event.name)
def test_nothing_but_a_submission_begins_a_job(event: ev.Event) -> None:
    with pytest.raises(IllegalTransition):
        begin(record_at(0, event), event)


def test_a_submission_is_version_1() -> None:
    with pytest.raises(IllegalTransition, match="version 2 cannot follow version 0"):
        begin(record_at(1, SUBMITTED), SUBMITTED)


def test_nothing_gives_no_job() -> None:
    assert fold([]) is None
