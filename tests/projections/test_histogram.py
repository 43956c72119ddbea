"""Percentiles of the buckets are near those of the durations themselves."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from millstream.projections.histogram import (
    BUCKETS,
    ERROR,
    EXACT,
    LIMIT,
    bucket_of,
    percentile,
    value_of,
)

durations = st.one_of(st.integers(0, 100), st.integers(0, 10**5), st.integers(0, LIMIT))


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_the_error_of_the_exact_one(found: list[int], share: float) -> None:
    exact = sorted(found)[max(1, math.ceil(share * len(found))) - 1]
    told = percentile(Counter(map(bucket_of, found)), share)
    assert told is not None
    assert abs(told - exact) <= ERROR * exact


@given(durations, durations)
def test_longer_is_never_in_an_earlier_bucket(one: int, other: int) -> None:
    assert (bucket_of(min(one, other))) <= bucket_of(max(one, other))


@given(st.integers(0, EXACT))
def test_short_durations_are_exact(duration: int) -> None:
    assert value_of(bucket_of(duration)) == duration


def test_every_bucket_has_a_value_of_its_own() -> None:
    assert [bucket_of(round(value_of(bucket))) for bucket in range(BUCKETS)] == list(range(BUCKETS))


def test_what_lies_outside_counts_at_the_ends() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(10 * LIMIT) == BUCKETS - 1 == bucket_of(LIMIT)


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None
