"""Attempts as the history of a job tells them, whole and by the page."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from millstream.core import events as ev
from millstream.projections import attempts
from millstream.projections.attempts import Attempt, attempts_of, job_attempts
from tests.projections.stage import Log, life, projecting, until_seq
from tests.strategies import START_MS, Pair, histories

FAULT = ev.Fault("ValueError", "no such file", "line 1")
SUBMITTED = ev.JobSubmitted("t")


def started(number: int) -> ev.JobStarted:
    return ev.JobStarted(number, f"w{number}")


LIFE: tuple[ev.Event, ...] = (
    SUBMITTED, started(1), ev.JobSnoozed(5), ev.JobQueued("due"), started(1),
    ev.JobAttemptFailed(FAULT, 5), ev.JobQueued("retry"), started(2), ev.JobReleased("drain"),
    started(2), ev.JobLeaseExpired("w2", 1), started(2), ev.JobQueued("group_lost"), started(2),
    ev.JobAttemptFailed(FAULT), ev.JobFailed("exhausted"), ev.JobRedriven("ada"), started(1),
    ev.JobFailed("handler_missing", FAULT), ev.JobRedriven("ada"), started(1),
    ev.JobCancelRequested("ada"), ev.JobCancelled("ada"), ev.JobRedriven("ada"), started(1),
    ev.JobSucceeded(), ev.JobRedriven("ada"), started(1), ev.JobCrashed("w1", 1, "exited with 3"),
    started(1),
)  # fmt: skip

OUTCOMES = [
    "snoozed", "failed", "released", "crashed", "lost", "failed", "failed", "cancelled",
    "succeeded", "crashed", None,
]  # fmt: skip


def test_every_end_of_an_attempt_is_told() -> None:
    found = attempts_of(life(1, *LIFE))
    assert [one.outcome for one in found] == OUTCOMES
    assert [one.number for one in found] == [1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    assert [one.worker for one in found[:3]] == ["w1", "w1", "w2"]
    at = START_MS + 5000
    assert found[1] == Attempt(1, 5, "w1", at, at + 1000, "failed", FAULT, at + 1005)
    assert (found[5].error, found[5].retry_at) == (FAULT, None)
    assert found[6].error == FAULT
    assert found[-2].error == ev.Fault("Crashed", "exited with 3")
    assert (found[-1].fence, found[-1].ended_at) == (30, None)


def test_what_cannot_be_read_is_passed_over() -> None:
    records = life(1, SUBMITTED, started(1), ev.JobSucceeded())
    broken = [*records[:2], replace(records[2], body=b"{")]
    assert [one.outcome for one in attempts_of(broken)] == [None]


@given(histories(max_size=20))
def test_attempts_follow_each_other_in_any_history(history: list[Pair]) -> None:
    found = attempts_of(record for record, _ in history)
    starts = [(r.version, e.worker) for r, e in history if isinstance(e, ev.JobStarted)]
    assert [(one.fence, one.worker) for one in found] == starts
    for one, following in itertools.pairwise(found):
        assert one.outcome is not None
        assert one.started_at <= (one.ended_at or 0) <= following.started_at


@given(histories(max_size=20), st.data())
def test_a_history_read_from_the_midst_tells_the_rest(
    history: list[Pair], data: st.DataObject
) -> None:
    records = [record for record, _ in history]
    cut = data.draw(st.integers(0, len(records)))
    whole = attempts_of(records)
    assert attempts_of(records[cut:]) == [one for one in whole if one.fence > cut]


@pytest.mark.parametrize("page", [2, 3, 100])
async def test_pages_of_attempts_from_the_archive(
    log: Log, settings: Any, pool: Any, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(attempts, "PAGE", page)
    records = life(1, *LIFE)
    await log.append(*records)
    async with projecting(settings):
        await until_seq(pool, len(records))
    whole = attempts_of(records)
    job, after, found = records[0].job, 0, list[Attempt]()
    while part := await job_attempts(pool, job, after, 3):
        assert len(part) <= 3
        found += part
        after = part[-1].fence
    assert found == whole
    assert await job_attempts(pool, "no id", 0, 3) == []
