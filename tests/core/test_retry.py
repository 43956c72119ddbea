"""Laws of the wait between attempts."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.retry import DEFAULT, MAX_DELAY, MAX_DELAYS, Backoff, delay_after

backoffs = st.builds(
    Backoff,
    kind=st.sampled_from(["exponential", "linear", "fixed"]),
    delay=st.floats(0, MAX_DELAY),
    factor=st.floats(1, 1000),
    max=st.floats(0, MAX_DELAY),
    jitter=st.floats(0, 1),
)
attempts = st.integers(1, 10**9)
lists = st.builds(
    Backoff,
    kind=st.just("list"),
    jitter=st.floats(0, 1),
    delays=st.lists(st.floats(0, MAX_DELAY), min_size=1, max_size=MAX_DELAYS).map(tuple),
)


@given(attempts, attempts, backoffs)
def test_it_never_shrinks(one: int, other: int, backoff: Backoff) -> None:
    sooner, later = sorted((one, other))
    assert delay_after(sooner, backoff, 0.0) <= delay_after(later, backoff, 0.0)


@given(attempts, backoffs)
def test_it_is_finite_and_within_bounds(attempt: int, backoff: Backoff) -> None:
    wait = delay_after(attempt, backoff)
    assert math.isfinite(wait)
    assert 0 <= wait <= backoff.max


@given(attempts, backoffs | lists, st.floats(0, 1))
def test_jitter_only_shortens_and_by_no_more_than_its_part(
    attempt: int, backoff: Backoff, chance: float
) -> None:
    longest = delay_after(attempt, backoff, 0.0)
    wait = delay_after(attempt, backoff, chance)
    assert longest * (1 - backoff.jitter) <= wait <= longest


@given(attempts, backoffs | lists)
def test_without_jitter_it_is_not_random(attempt: int, backoff: Backoff) -> None:
    plain = msgspec.structs.replace(backoff, jitter=0.0)
    assert delay_after(attempt, plain) == delay_after(attempt, plain, 0.0)


def test_growth_of_each_kind() -> None:
    def waits(backoff: Backoff) -> list[float]:
        return [delay_after(n, backoff, 0.0) for n in range(1, 6)]

    assert waits(Backoff("exponential", 1, 2, 10)) == [1, 2, 4, 8, 10]
    assert waits(Backoff("linear", 3, max=10)) == [3, 6, 9, 10, 10]
    assert waits(Backoff("fixed", 3, max=10)) == [3, 3, 3, 3, 3]
    assert waits(Backoff("fixed", 30, max=10)) == [10] * 5


@given(attempts, lists)
def test_a_list_is_taken_as_it_is_and_its_last_repeats(attempt: int, backoff: Backoff) -> None:
    delays = backoff.delays
    assert (
        delay_after(attempt, backoff, 0.0) == [*delays, delays[-1]][min(attempt - 1, len(delays))]
    )
    assert msgspec.json.decode(msgspec.json.encode(backoff), type=Backoff) == backoff


def test_a_list_needs_no_cap() -> None:
    backoff = Backoff("list", delays=(1, 10, 86400))
    assert [delay_after(n, backoff, 0.0) for n in (1, 2, 3, 4, 99)] == [1, 10, 86400, 86400, 86400]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"kind": "list"},
            "expected delays with kind 'list' and with no other, got 'list' without",
        ),
        ({"delays": (1,)}, "got 'exponential' with them"),
        ({"kind": "list", "delays": (1, -1)}, r"expected delays\[1\] from 0 to"),
        ({"kind": "list", "delays": (math.inf,)}, r"expected delays\[0\] from 0 to"),
        ({"kind": "list", "delays": (1,) * 101}, "expected at most 100 delays, got 101"),
        ({"kind": "expo"}, "expected kind exponential, linear, fixed, list, got 'expo'"),
        ({"delay": "5"}, "expected a number as delay, got '5'"),
    ],
)
def test_backoffs_that_cannot_be(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Backoff(**given)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"kind":"list","delays":[1,-1]}', r"\$.delays\[1\]"),
        (b'{"kind":"list","delays":[' + b"1," * 10_000 + b"1]}", r"length <= 100 - at `\$.delays`"),
        (b'{"kind":"list","delays":3}', r"\$.delays"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_with_its_path(body: bytes, path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=path):
        msgspec.json.decode(body, type=Backoff)


def test_the_default_reaches_its_cap() -> None:
    assert delay_after(100, chance=0.0) == DEFAULT.max
    drawn = {delay_after(3) for _ in range(50)}
    assert len(drawn) > 1  # it spreads jobs that failed together


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("delay", -1, "expected delay from 0 to 3.16224e+07, got -1"),
        ("delay", MAX_DELAY + 1, "expected delay"),
        ("factor", 0.5, "expected factor from 1 to 1000, got 0.5"),
        ("max", math.inf, "expected max"),
        ("max", math.nan, "expected max"),
        ("jitter", 1.5, "expected jitter from 0 to 1, got 1.5"),
    ],
)
def test_bounds_are_named(field: str, value: float, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("+", r"\+")):
        msgspec.structs.replace(DEFAULT, **{field: value})


def test_an_unknown_field_or_kind_is_refused_when_decoded() -> None:
    for body in (b'{"kind":"random"}', b'{"delays":3}', b'{"jitter":7}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=Backoff)
