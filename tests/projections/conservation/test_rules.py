"""What is stuck, and what is only waiting."""

from __future__ import annotations

import pytest

from millstream.core.examining import Place, Where
from millstream.core.workers import Report, Seen
from millstream.projections.conservation.findings import Found
from millstream.projections.conservation.rules import Hands, Situation, hands_of, stuck

NOW = 1_750_000_000_000
BOUND = 60_000
LONG_AGO = NOW - BOUND - 1


def judged(
    where: Where, at: int = LONG_AGO, *, paused: bool = False, hands: Hands = "free",
    still_ms: int = BOUND + 1,
) -> str | None:  # fmt: skip
    return stuck(Place(where, at), Situation(NOW, paused, hands, still_ms), BOUND)


def test_who_could_run_and_is_not_run_is_stuck() -> None:
    assert "ready for 60 s" in (judged("ready") or "")
    assert "due 60 s ago" in (judged("due") or "")
    assert "due 60 s ago" in (judged("due", paused=True) or "")  # pausing does not hold that up


@pytest.mark.parametrize("where", ["ready", "due"])
def test_what_explains_that_it_waits(where: Where) -> None:
    assert judged(where, NOW - BOUND) is None
    assert judged(where, NOW + BOUND) is None
    assert judged(where, hands="none") is None
    assert judged(where, hands="full") is None
    assert judged(where, still_ms=BOUND) is None  # others are run, its turn will come
    assert judged("ready", paused=True) is None


@pytest.mark.parametrize("where", ["running", "parked", "other"])
def test_elsewhere_nothing_is_due(where: Where) -> None:
    assert judged(where) is None


def test_who_is_nowhere_is_stuck_at_once() -> None:
    assert judged("astray", 0, hands="none", still_ms=0) is not None


def seen(running: int, *, age: float = 1, queue: str = "a", draining: bool = False) -> Seen:
    return Seen(Report("w", "h", 1, 1, [queue], [], 2, running=running, draining=draining), age)


@pytest.mark.parametrize(
    ("workers", "hands"),
    [
        ([], "none"),
        ([seen(0, queue="b")], "none"),
        ([seen(0, age=60)], "none"),
        ([seen(0, draining=True)], "none"),
        ([seen(2)], "full"),
        ([seen(2), seen(1)], "free"),
    ],
)
def test_hands_of_a_queue(workers: list[Seen], hands: Hands) -> None:
    assert hands_of("a", workers) == hands


def test_a_finding_is_shown_until_a_round_without_it_is_over() -> None:
    found = Found()
    found.of("a").add("lost", "one", "why")
    found.of("a").add("lost", "one", "again")
    found.of("a").jobs = 5
    assert [one.counts["lost"] for one in found.shown()] == [1]
    found.end_round()
    assert [(one.jobs, one.counts["lost"]) for one in found.shown()] == [(5, 1)]
    found.begin_round()
    found.of("a").add("stuck", "two", "why")
    assert [one.counts for one in found.shown()] == [{"lost": 1, "doubled": 0, "stuck": 1}]
    found.begin_round()  # the one before was broken off
    found.of("a")
    found.end_round()
    (shown,) = found.shown()
    assert shown.counts == {"lost": 0, "doubled": 0, "stuck": 0}
