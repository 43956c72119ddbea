"""What is said of any history is true of it: every event that is cited is there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.events import Record
from millstream.core.jobs import TERMINAL, fold
from millstream.core.why import Facts, Gate, Halt, Sentence, Server, explain
from tests.projections.stage import life
from tests.strategies import START_MS, Pair, histories, job_id, names, record_of, times

SPEC = ev.JobSubmitted("t")
STARTED, DONE = ev.JobStarted(1, "w1"), ev.JobSucceeded()
FAULT = ev.Fault("OSError", "disk\nfull")

servers = st.builds(
    Server, name=names, condition=st.sampled_from(["serving", "silent", "stalled", "draining"]),
    types=st.lists(names, max_size=2), busy=st.booleans(),
)  # fmt: skip
gates = st.builds(
    Gate, running=st.integers(0, 9), holders=st.lists(names, max_size=2),
    bound=st.none() | st.integers(1, 9), ahead=st.none() | st.integers(0, 9),
    opens_at=st.none() | times,
)  # fmt: skip
halts = st.builds(Halt, reason=st.text(max_size=5), since=st.none() | times,
                  end=st.just("default:1:1"), until=st.none() | times)  # fmt: skip
facts = st.builds(
    Facts, now=times, mode=st.sampled_from(["open", "paused", "draining"]),
    queued=st.integers(0, 9), running=st.integers(0, 9), concurrency=st.none() | st.integers(1, 9),
    rated=st.booleans(), servers=st.lists(servers, max_size=3), gate=st.none() | gates,
    halt=st.none() | halts,
)  # fmt: skip
by = {"actor": names, "reason": st.text(max_size=5)}
modes = st.lists(
    st.tuples(
        times,
        st.builds(ev.QueuePaused, **by)
        | st.builds(ev.QueueResumed, **by)
        | st.builds(ev.QueueDraining, **by)
        | st.builds(
            ev.ScheduleFired, schedule=names, occurrence=times, job_id=st.just(job_id(1)),
            cause=names,
        )
        | st.builds(ev.ScheduleSkipped, schedule=names, occurrence=times, reason=names,
                    count=st.integers(1, 5), last=st.none() | times),
    ),
    max_size=5,
)  # fmt: skip


def around_of(given: list[tuple[int, ev.Event]]) -> list[Record]:
    ordered = sorted(given, key=lambda one: one[0])
    return [
        record_of(event, job="", version=0, seq=1000 + n, time=time)
        for n, (time, event) in enumerate(ordered)
    ]


@given(histories(max_size=15), st.none() | facts, modes)
def test_it_never_fails_and_cites_what_is_there(
    history: list[Pair], facts: Facts | None, modes: list[tuple[int, ev.Event]]
) -> None:
    records, around = [record for record, _ in history], around_of(modes)
    told = explain(records, around, facts)
    there = {record.position for record in (*records, *around)}
    assert told, "a job that exists was submitted, at least"
    for sentence in told:
        assert set(sentence.events) <= there
        assert "\n" not in sentence.text
        assert sentence.text[0].isupper() or sentence.text[0].isdigit()
        assert sentence.text[-1] == "."
    job = fold(history)
    assert job is not None
    standing = [one.code for one in told if one.code.startswith(("waits.", "running"))]
    assert bool(standing) == (job.state not in TERMINAL)


@given(histories(max_size=10), st.integers(0, 9), st.binary(max_size=9))
def test_a_damaged_history_is_told_up_to_there(history: list[Pair], at: int, body: bytes) -> None:
    records = [record for record, _ in history]
    at %= len(records)
    records[at] = msgspec.structs.replace(records[at], body=b"\xff" + body)
    told = explain(records)
    assert told[-1].code == "parked"
    assert told[-1].events == [records[at].position]


def test_of_nothing_nothing_is_said() -> None:
    assert explain([]) == []


def told(*events: ev.Event, facts: Facts | None = None, **how: Any) -> list[Sentence]:
    return explain(life(1, SPEC, *events), how.get("around", ()), facts)


def one(code: str, found: list[Sentence]) -> Sentence:
    (sentence,) = [each for each in found if each.code == code]
    return sentence


RUN_AGAIN = {
    "failed": (ev.JobAttemptFailed(FAULT, 5), "(OSError: disk full)"),
    "crashed": (ev.JobLeaseExpired("w1", 1), "worker w1 had not renewed its lease"),
    "released": (ev.JobReleased("drain"), "shut down and handed it back"),
    "snoozed": (ev.JobSnoozed(90_000), "asked to be called again 90.0 s later"),
    "lost": (ev.JobQueued("group_lost"), "the consumer group of its queue was lost"),
}


@pytest.mark.parametrize("why", RUN_AGAIN)
def test_why_it_ran_again(why: str) -> None:
    event, words = RUN_AGAIN[why]
    due = [ev.JobQueued("retry")] if why in ("failed", "snoozed") else []
    history = [STARTED, event, *due, ev.JobStarted(2, "w2"), DONE]
    sentence = one(f"ran_again.{why}", told(*history))
    assert words in sentence.text
    assert "(attempt 2)" in sentence.text
    assert sentence.events == ["default:1:3", f"default:1:{4 + len(due)}"]


def test_how_its_process_died() -> None:
    died = ev.JobCrashed("w1", 3, "killed by SIGSEGV")
    again = one("ran_again.crashed", told(STARTED, died, STARTED, DONE))
    assert "at worker w1 died: killed by SIGSEGV (crash 3 of this job)" in again.text
    assert again.events == ["default:1:3", "default:1:4"]
    cause = ev.Fault("Crashed", "killed by SIGSEGV")
    end = one("failed.poison", told(STARTED, died, ev.JobFailed("poison", cause)))
    assert "the last error was Crashed: killed by SIGSEGV" in end.text
    assert end.events == ["default:1:3", "default:1:4"]
    waited = told(STARTED, ev.JobReleased("no_process", 5), ev.JobQueued("due"), STARTED)
    assert "had no process to run it in" in one("ran_again.released", waited).text


def test_why_it_ran_again_after_its_end() -> None:
    redriven = ev.JobRedriven("ada", "the disk is back")
    found = told(STARTED, DONE, redriven, STARTED)
    assert "by ada (the disk is back)" in one("redriven", found).text
    assert one("ran_again.redriven", found).events == ["default:1:4", "default:1:5"]


ENDS = {
    "exhausted": "none of its attempts succeeded",
    "non_retryable": "trying again is no use",
    "poison": "too many workers, or processes of theirs, were lost",
    "handler_missing": "no worker had a handler",
}


@pytest.mark.parametrize("reason", ENDS)
def test_why_it_was_given_up(reason: str) -> None:
    found = told(STARTED, ev.JobAttemptFailed(FAULT), ev.JobFailed(reason))
    sentence = one(f"failed.{reason}", found)
    assert ENDS[reason] in sentence.text
    assert "the last error was OSError: disk full" in sentence.text
    assert sentence.events == ["default:1:3", "default:1:4"]
    assert found[-1] is sentence


def test_why_it_expired_or_failed_otherwise() -> None:
    assert (
        "had not been started when it expired"
        in one("failed.expired", told(ev.JobFailed("expired"))).text
    )
    assert (
        "'of a later release'" in one("failed.other", told(ev.JobFailed("of a later release"))).text
    )


def test_who_moved_stopped_and_let_it_go() -> None:
    found = told(
        ev.JobRescheduled("ada", "not yet", START_MS), ev.JobQueued("due"), STARTED,
        ev.JobCancelRequested("eve", "wrong"), ev.JobCancelled("eve", "wrong"),
    )  # fmt: skip
    assert "moved to 2025-06-15T15:06:40.000Z by ada (not yet)" in one("rescheduled", found).text
    assert "asked to stop it by eve (wrong)" in one("cancel_requested", found).text
    assert one("cancelled", found).events == ["default:1:6"]
    found = told(STARTED, ev.JobFailed("non_retryable"), ev.JobDiscarded("ada", "old"))
    assert "from the dead letters by ada (old); it stays failed" in one("discarded", found).text


def test_what_it_waited_for() -> None:
    late = [ev.JobBlocked("rate of type t"), ev.JobQueued("limit"), STARTED]
    found = explain(life(1, SPEC, *late, step_ms=5000))
    sentence = one("waited.limit", found)
    assert "waited 5.0 s for a limit, rate of type t" in sentence.text
    assert sentence.events == ["default:1:2", "default:1:3"]
    assert one("waited.turn", found).events == ["default:1:3", "default:1:4"]
    around = around_of([
        (START_MS + 6000, ev.QueuePaused("ada", "a bad release")),
        (START_MS + 9000, ev.QueueResumed("ada", "mended")),
    ])  # fmt: skip
    found = explain(life(1, SPEC, STARTED, step_ms=5000), around)
    sentence = one("waited.paused", found)
    assert (
        "its queue was paused at 2025-06-15T15:06:46.000Z by ada (a bad release)" in sentence.text
    )
    assert sentence.events == ["default:1:1", "default:1:1000", "default:1:1001", "default:1:2"]
    spec = ev.JobSubmitted("t", run_at=START_MS + 1000)
    found = explain(life(1, spec, ev.JobQueued("due"), step_ms=3000))
    assert "made ready 5.0 s later" in one("waited.late", found).text


def test_that_it_is_unique_or_was_replaced() -> None:
    spec = ev.JobSubmitted("t", lock="0f", lock_scope="waiting", delay_ms=10**6)
    found = explain(life(1, spec, ev.JobReplaced("t", lock="0f")))
    assert (
        "while it waits, submissions like it make no job of their own" in one("unique", found).text
    )
    assert one("replaced", found).events == ["default:1:2"]


def test_how_it_came_from_its_schedule() -> None:
    spec = ev.JobSubmitted("t", schedule="nightly", occurrence=START_MS)
    around = around_of([
        (1, ev.ScheduleSkipped("nightly", 1, "missed")),
        (2, ev.ScheduleFired("nightly", 2, job_id(9))),
        (3, ev.ScheduleSkipped("nightly", 3, "overlap", 2, 4)),
        (5, ev.ScheduleFired("nightly", START_MS, job_id(1), "catch_up")),
    ])  # fmt: skip
    found = explain(life(1, spec), around)
    assert "by schedule nightly for its occurrence 2025-06-15T15:06:40.000Z" in found[1].text
    skipped = one("schedule.skipped", found)
    assert "2 occurrences from 1970-01-01T00:00:00.003Z" in skipped.text
    assert "a job of an earlier occurrence had not ended" in skipped.text
    assert skipped.events == ["default:1:1002"]
    assert "late, to catch up" in one("schedule.fired", found).text
