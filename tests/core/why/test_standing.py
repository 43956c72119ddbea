"""Why a job waits: of each way the nearest reason comes first."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.linking import Outcome
from millstream.core.why import Awaited, Facts, Gate, Halt, Sentence, Server, explain
from tests.core.why.test_explain import FAULT, SPEC, STARTED, around_of, one
from tests.projections.stage import life
from tests.strategies import START_MS

READY = Server("w1", "serving", ["t"])


def why(*events: ev.Event, spec: ev.JobSubmitted = SPEC, **facts: Any) -> list[Sentence]:
    given: dict[str, Any] = {"servers": [READY], **facts}
    standing = Facts(now=START_MS + 10**6, **given)
    return explain(life(1, spec, *events), around_of([]), standing)


QUEUED: dict[str, dict[str, Any]] = {
    "waits.turn": {},
    "waits.paused": {"mode": "paused"},
    "waits.no_worker": {"servers": []},
    "waits.no_handler": {"servers": [Server("w1", "serving", ["other"])]},
    "waits.stalled": {"servers": [Server("w1", "stalled", ["t"])]},
}


@pytest.mark.parametrize("code", QUEUED)
def test_why_a_job_that_may_run_does_not(code: str) -> None:
    assert why(**QUEUED[code])[0].code == code


def test_why_nothing_of_its_queue_is_started() -> None:
    full = why(concurrency=2, running=2)
    assert full[1].code == "waits.queue_limit"
    assert "As many jobs of its queue run as may at once: 2 of 2." in full[1].text
    busy = why(servers=[Server("w1", "serving", ["t"], busy=True)], queued=7)
    assert "busy; jobs of its queue that wait, with it: 7." in one("waits.busy", busy).text
    assert one("waits.queue_rate", why(rated=True))


def test_who_paused_its_queue() -> None:
    around = around_of([(START_MS, ev.QueuePaused("ada", "a bad release"))])
    found = explain(life(1, SPEC), around, Facts(now=START_MS, mode="paused", servers=[READY]))
    assert "since 2025-06-15T15:06:40.000Z by ada (a bad release)" in found[0].text
    assert found[0].events == ["default:1:1000"]


def test_a_worker_that_is_silent_serves_nobody() -> None:
    found = why(servers=[Server("w9", "silent", ["t"])])
    assert "No worker serves its queue (w9 is silent or shutting down)" in found[0].text


def test_which_limit_it_waits_for_and_who_holds_it() -> None:
    blocked = ev.JobBlocked("concurrency of type t")
    gate = Gate(running=2, holders=["job-a", "job-b"], bound=2, ahead=3)
    sentence = why(blocked, gate=gate)[0]
    assert sentence.code == "waits.limit"
    assert "concurrency of type t: 2 of 2 have passed it (job-a, job-b)" in sentence.text
    assert "3 jobs before it" in sentence.text
    assert sentence.events == ["default:1:2"]
    rate = why(ev.JobBlocked("rate of type t"), gate=Gate(opens_at=START_MS, ahead=0))[0]
    assert "the next is let in at 2025-06-15T15:06:40.000Z; it is next" in rate.text
    assert "rate of type t." in why(ev.JobBlocked("rate of type t"))[0].text


TIMES: dict[str, tuple[list[ev.Event], str]] = {
    "waits.retry": ([STARTED, ev.JobAttemptFailed(FAULT, 10**7)], "attempt 1 failed (OSError"),
    "waits.snoozed": ([STARTED, ev.JobSnoozed(10**7)], "its handler asked to be called again"),
    "waits.released": ([STARTED, ev.JobReleased("handler_missing", 10**7)], "handed it back"),
    "waits.due": ([ev.JobRescheduled("ada", "not yet", START_MS + 10**7)], "by ada (not yet)"),
}


@pytest.mark.parametrize("code", TIMES)
def test_why_it_waits_for_a_time(code: str) -> None:
    events, words = TIMES[code]
    sentence = why(*events)[0]
    assert sentence.code == code
    assert words in sentence.text
    assert sentence.events == [f"default:1:{1 + len(events)}"]


def test_a_time_that_has_passed_is_told() -> None:
    spec = ev.JobSubmitted("t", run_at=START_MS)
    found = why(spec=spec, servers=[])
    assert found[0].code == "waits.due"
    assert "the time it was submitted for" in found[0].text
    assert "That was 16 min 40 s ago" in found[0].text
    assert found[1].code == "waits.no_worker"


def test_who_runs_it() -> None:
    found = why(STARTED)
    assert found[0].code == "running"
    assert "attempt 1, on worker w1" in found[0].text
    assert found[1].code == "submitted"
    assert why(STARTED, servers=[Server("w1", "silent", ["t"])])[1].code == "running.silent"


def test_it_waits_for_other_jobs() -> None:
    spec = ev.JobSubmitted("t", on_parent_failure="fail", depends_on=["a", "b"])
    found = why(spec=spec)
    assert found[0].code == "waits.jobs"
    assert found[0].events == ["default:1:1"]
    assert "for other jobs to end" in found[0].text
    open_ = why(spec=spec, awaited=Awaited(1, open=True))
    assert "for 1 other job, and for its flow to be closed, to end" in open_[0].text
    unhappy: tuple[tuple[str, Outcome], ...] = (("a", "failed"), ("b", "cancelled"))
    stays = why(spec=spec, awaited=Awaited(2, unhappy=unhappy))
    assert "for 2 other jobs to end" in stays[0].text
    assert [one.code for one in stays[1:3]] == ["waits.parent"] * 2
    assert "Job a, which it depends on, failed: it goes on once that" in stays[1].text
    assert "Job b, which it depends on, was cancelled:" in stays[2].text
    moved = [ev.JobRescheduled(run_at=START_MS), ev.JobBlocked("jobs")]
    assert why(*moved, spec=spec)[0].code == "waits.jobs"
    joined = why(*moved, ev.JobJoined(), spec=spec)
    assert "waits.jobs" not in {one.code for one in joined}
    assert "waited.jobs" in {one.code for one in joined}
    failed = why(ev.JobFailed("parent_failed", FAULT, "a"), spec=spec)
    assert failed[-1].code == "failed.parent_failed"
    assert "to run once 2 jobs ended" in failed[0].text


def test_that_its_queue_is_halted_comes_first_and_then_what_events_tell() -> None:
    halt = Halt("the log of q is gone", START_MS, "default:1:9", START_MS + 1)
    first, *others = why(STARTED, halt=halt, servers=[], mode="lost")
    assert first.code == "halted"
    assert "halted since 2025-06-15T15:06:40.000Z" in first.text
    assert "(the log of q is gone)" in first.text
    assert "as it stood at 2025-06-15T15:06:40.001Z" in first.text
    assert first.events == ["default:1:9"]
    assert [one.code for one in others][:2] == ["running", "submitted"], "not that w1 is silent"
    ended = why(STARTED, ev.JobSucceeded(), halt=Halt("the log of q is gone"))
    assert [one.code for one in ended][:2] == ["halted", "submitted"]
    assert ended[0].events == []
