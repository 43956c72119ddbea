"""Turns: shares by weight, and none that starves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from millstream.consumers.turns import Turns

weights = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1000), min_size=1)


def made(shares: dict[str, int]) -> Turns:
    turns = Turns()
    for name, weight in shares.items():
        turns.add(name, weight)
        turns.enter(name)
    return turns


def give(turns: Turns, jobs: int) -> str:
    """One turn that gives `jobs`, by a queue that has more of them."""
    name = turns.first()
    assert turns.take() == name
    turns.charge(name, jobs)
    turns.enter(name)
    return name


@given(weights, st.integers(1, 125))
def test_shares_approach_the_weights(shares: dict[str, int], batch: int) -> None:
    turns = made(shares)
    total = sum(shares.values())
    rounds = 2 * total
    given = Counter(give(turns, batch) for _ in range(rounds))
    for name, weight in shares.items():
        # Never off by more than one turn for each queue there is.
        assert abs(given[name] - rounds * weight / total) <= len(shares)


@given(weights, st.lists(st.integers(1, 125), min_size=50, max_size=300))
def test_shares_are_of_jobs_however_many_a_turn_gives(
    shares: dict[str, int], batches: list[int]
) -> None:
    turns = made(shares)
    given: Counter[str] = Counter()
    for batch in batches:
        given[give(turns, batch)] += batch
    passes = [given[name] / weight for name, weight in shares.items()]
    # All stand within the longest step of one another.
    assert max(passes) - min(passes) <= max(batches) / min(shares.values()) + 1e-6


@given(st.lists(st.integers(1, 125), max_size=60), st.integers(2, 8))
def test_equal_weights_alternate(batches: list[int], queues: int) -> None:
    names = "abcdefgh"[:queues]
    turns = made(dict.fromkeys(names, 7))
    order = "".join(give(turns, 10) for _ in batches)
    assert (names * len(order)).startswith(order)


@given(weights, st.integers(1, 500))
def test_none_waits_longer_than_its_share_says(shares: dict[str, int], skip: int) -> None:
    turns = made(shares)
    for _ in range(skip):
        give(turns, 1)
    least = min(shares, key=lambda name: shares[name])
    longest = sum(-(-weight // shares[least]) + 1 for weight in shares.values())
    assert least in {give(turns, 1) for _ in range(longest)}


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 10_000))
def test_a_queue_that_had_no_work_does_not_catch_up(a: int, b: int, alone: int) -> None:
    turns = made({"a": a})
    turns.add("b", b)
    for _ in range(alone):
        give(turns, 1)
    turns.enter("b")
    rounds = 2 * (a + b)
    given = Counter(give(turns, 1) for _ in range(rounds))
    assert abs(given["b"] - rounds * b / (a + b)) <= 2


@given(weights)
def test_a_queue_without_work_has_no_turn(shares: dict[str, int]) -> None:
    assume(len(shares) > 1)
    turns = made(shares)
    idle = turns.take()
    assert len(turns) == len(shares) - 1
    assert idle not in {give(turns, 5) for _ in range(100)}
    assert turns.enter(idle)
    assert not turns.enter(idle)
    assert len(turns) == len(shares)


def test_nobody_waits() -> None:
    turns = Turns()
    assert not turns
    with pytest.raises(IndexError):
        turns.take()
