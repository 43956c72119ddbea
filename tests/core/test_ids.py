"""Job ids: UUIDv7, ordered by time, ending in their partition's code."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.ids import code_of, is_id, new_id, new_ids
from millstream.core.keys import partition_code

partitions = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)


@given(partitions, st.integers(1, 50))
def test_an_id_is_a_uuid7_that_ends_in_its_partition(partition: str, count: int) -> None:
    ids = list(new_ids(partition, count))
    assert len(ids) == count
    for job in ids:
        value = uuid.UUID(job)
        assert (value.version, value.variant, str(value)) == (7, uuid.RFC_4122, job)
        assert is_id(job)
        assert code_of(job) == partition_code(partition)


def test_it_carries_the_time_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(new_id("default")).int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_ids_of_a_later_millisecond_are_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_750_000_000_000_000_000
    batches: list[list[str]] = []
    for step in range(20):
        monkeypatch.setattr(time, "time_ns", lambda step=step: now + step * 1_000_000)
        batches.append(list(new_ids("default", 20)))
    for sooner, later in itertools.pairwise(batches):
        assert max(sooner) < min(later)


def test_a_hundred_thousand_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_000_000_000)
    assert len(set(new_ids("default", 100_000))) == 100_000


def test_those_of_one_moment_are_in_the_order_they_were_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_000_000_000)
    made = [new_id("default") for _ in range(1000)] + list(new_ids("default", 1000))
    assert made == sorted(made)


def test_a_clock_that_steps_back_a_little_breaks_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_000_000_000)
    before = new_id("default")
    monkeypatch.setattr(time, "time_ns", lambda: 1_749_999_999_500_000_000)
    assert before < new_id("default")


def test_a_clock_that_was_far_ahead_is_followed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_003_600_000_000_000)
    new_id("default")
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_000_000_000)
    assert uuid.UUID(new_id("default")).int >> 80 == 1_750_000_000_000


def test_a_millisecond_that_is_full_borrows_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_000_000_000)
    made = list(new_ids("default", 600_000))
    assert made == sorted(set(made))
    assert uuid.UUID(made[-1]).int >> 80 > 1_750_000_000_000


def test_the_random_bits_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = zeros = 0
    for moment in range(200):
        now = (1_760_000_000_000 + moment) * 1_000_000
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        value = uuid.UUID(new_id("default")).int
        ones |= value
        zeros |= ~value
    # All but the highest, which is left free for more of the same millisecond.
    noise = (0x7FF << 64) | (((1 << 38) - 1) << 24)
    assert ones & zeros & noise == noise


def test_none_is_none() -> None:
    assert list(new_ids("default", 0)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "0197a5c0-0000-4000-8000-000000000001",  # version 4
        "0197A5C0-0000-7000-8000-00000000000A",  # not in lower case
        "0197a5c000007000800000000000000a",  # without dashes
        "{0197a5c0-0000-7000-8000-00000000000a}",
        "0197a5c0-0000-7000-8000-00000000000a\n",
    ],
)
def test_other_text_is_no_id(text: str) -> None:
    assert not is_id(text)
