"""Cron in every zone there is, against a reading of the rule that knows nothing of cronsim."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.cron import MACROS, Cron
from millstream.core.errors import InvalidName
from millstream.core.zones import DAY, Zone, zone, zone_names

HOUR = 3600
NAMES = sorted(zone_names())


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def shown(cron: Cron, after: str, count: int) -> list[str]:
    found = islice(cron.after(at(after)), count)
    return [f"{datetime.fromtimestamp(one, UTC):%Y-%m-%dT%H:%M}" for one in found]


def changes_in_file(name: str) -> list[int]:
    """Transition times after 1970 as the zone's file lists them (its 64-bit block)."""
    data = (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).read_bytes()
    counts = struct.unpack(">6l", data[20:44])
    isutc, isstd, leap, times, types, chars = counts
    second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isutc
    times = struct.unpack(">6l", data[second + 20 : second + 44])[3]
    found = struct.unpack(f">{times}q", data[second + 44 : second + 44 + 8 * times])
    return [one for one in found if one > 0]


@pytest.mark.parametrize("letter", sorted({name[0] for name in NAMES}))
def test_every_change_of_offset_is_found(letter: str) -> None:
    for name in (name for name in NAMES if name[0] == letter):
        found = zone(name)
        told = changes_in_file(name)
        real = [one for one in told if found.offset(one) != found.offset(one - 1)]
        seen, after = list[int](), 0
        while (change := found.change(after, max(told, default=0))) is not None:
            seen.append(change)
            after = change
        assert seen == real, name


# ------------------------------------------------------------------ the rule, read anew


def every_so_often(
    found: Zone, match: Callable[[datetime], bool], begin: int, end: int
) -> set[int]:
    """All instants at which the wall clock shows a match; offsets are of half minutes at least."""
    return {one for one in range(begin, end, 30) if match(found.local(one))}


def at_set_times(found: Zone, walls: Iterable[datetime], begin: int, end: int) -> set[int]:
    """For each time on the wall the first instant that shows it, or else a later one."""
    shows: dict[datetime, int] = {}
    for one in range(end + 3 * DAY, begin - 3 * DAY, -60):
        shows[found.local(one).replace(second=0)] = one
    newest, fired = max(shows), set[int]()
    for wall in walls:
        later = wall
        while later not in shows and later < newest:
            later += timedelta(minutes=1)
        if later in shows:
            fired.add(shows[later])
    return {one for one in fired if begin <= one < end}


@st.composite
def changes(draw: st.DrawFn) -> tuple[Zone, int]:
    """A zone, and an instant at which its offset changes; or any, if it never does."""
    found = zone(draw(st.sampled_from(NAMES)))
    after = draw(st.integers(at("1972-01-01T00:00Z"), at("2060-01-01T00:00Z"))) // DAY * DAY
    change = found.change(after, after + 2 * 366 * DAY)
    if change is None or change % 60:  # Liberia left its 44 minutes 30 seconds in 1972
        return found, after
    return found, change


minutes = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)
hours = st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True)


def joined(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


@given(changes(), minutes, hours)
def test_set_times_across_a_change(
    place: tuple[Zone, int], minute: list[int], hour: list[int]
) -> None:
    found, change = place
    begin, end = change - 2 * DAY, change + 2 * DAY
    days = {found.local(one).date() for one in range(begin - 2 * DAY, end + 2 * DAY, HOUR // 4)}
    days |= {day + timedelta(days=1) for day in days}  # Samoa left out a whole day
    walls = [datetime(d.year, d.month, d.day, h, m) for d in days for h in hour for m in minute]  # noqa: DTZ001
    told = at_set_times(found, walls, begin, end)
    cron = Cron(f"{joined(minute)} {joined(hour)} * * *", found.name)
    seen = list(takewhile(lambda one: one < end, cron.after(begin - 1)))
    assert seen == sorted(told)


@given(changes(), minutes, hours, st.booleans())
def test_every_so_often_across_a_change(
    place: tuple[Zone, int], minute: list[int], hour: list[int], any_hour: bool
) -> None:
    found, change = place
    begin, end = change - 4 * HOUR, change + 4 * HOUR

    def match(wall: datetime) -> bool:
        fits = wall.minute in minute if any_hour else wall.minute % 10 == 0 and wall.hour in hour
        return fits and wall.second == 0

    told = every_so_often(found, match, begin, end)
    text = f"{joined(minute)} * * * *" if any_hour else f"*/10 {joined(hour)} * * *"
    seen = list(takewhile(lambda one: one < end, Cron(text, found.name).after(begin - 1)))
    assert seen == sorted(told)


EXPRESSIONS = (
    "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,30 0-3 * * *", "15 */2 * * *", "*/20 0 * * *",
    "0 0 * * MON", "0 12 1,15 * *", "0 0 L * *", "59 23 LW * *", "0 0 29 2 *", "30 1 * 3,10 SUN#L",
    "*/15 30 2 * * *", "0 30 2 * * *", "10 * * * * *", *MACROS,
)  # fmt: skip


@given(
    st.sampled_from(NAMES), st.sampled_from(EXPRESSIONS), st.integers(0, at("2090-01-01T00:00Z"))
)
def test_next_of_next_is_the_list_and_it_only_rises(name: str, text: str, after: int) -> None:
    try:
        cron = Cron(text, name)
    except InvalidName:
        assert text.endswith("#L")  # cronsim writes it 7L; it is here to be refused
        return
    listed = list(islice(cron.after(after), 6))
    assert all(one < other for one, other in pairwise([after, *listed]))
    stepped, position = list[int](), after
    for _ in listed:
        position = next(cron.after(position))
        stepped.append(position)
    assert stepped == listed


@given(changes(), st.sampled_from(["30 2 * * *", "*/30 * * * *", "0 0-4 * * *"]), st.data())
def test_wherever_one_begins_the_rest_is_the_same(
    place: tuple[Zone, int], text: str, data: st.DataObject
) -> None:
    found, change = place
    cron = Cron(text, found.name)
    whole = list(takewhile(lambda one: one < change + DAY, cron.after(change - DAY)))
    begin = data.draw(st.integers(change - DAY, change + DAY - 1))
    rest = list(takewhile(lambda one: one < change + DAY, cron.after(begin)))
    assert rest == [one for one in whole if one > begin]


# ------------------------------------------------------------------ by example


def test_a_set_time_that_is_jumped_over_fires_at_the_jump() -> None:
    cron = Cron("30 2 * * *", "Europe/Vienna")
    assert shown(cron, "2026-03-28T00:00Z", 3) == [
        "2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30",
    ]  # fmt: skip


def test_a_set_time_that_comes_twice_fires_once() -> None:
    cron = Cron("30 2 * * *", "Europe/Vienna")
    assert shown(cron, "2026-10-24T12:00Z", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_every_half_hour_stays_every_half_hour() -> None:
    cron = Cron("*/30 * * * *", "Europe/Vienna")
    for day in ("2026-03-29", "2026-10-25"):
        found = list(islice(cron.after(at(f"{day}T00:00Z")), 10))
        assert {b - a for a, b in pairwise(found)} == {1800}


def test_a_day_samoa_left_out() -> None:
    cron = Cron("0 12 * * *", "Pacific/Apia")
    assert shown(cron, "2011-12-29T00:00Z", 3) == [
        "2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00",
    ]  # fmt: skip


def test_half_an_hour_on_lord_howe() -> None:
    """cronsim alone counts by hours from 1:30 there, and misses half of these."""
    cron = Cron("*/10 2 * * *", "Australia/Lord_Howe")
    assert len(list(takewhile(lambda one: one < at("2026-04-05T12:00Z"),
                              cron.after(at("2026-04-04T12:00Z"))))) == 6  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "*", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *",
     "* * * * 8", "0 0 30 2 *", "0 0 31 4,6 *", "0 0 */31 2 MON#5", "@never", "a b c d e",
     "*/0 * * * *", "5-1 * * * *", "1L/2 * * * *", "1,,2 * * * *", "² * * * *", "* * * * ²L",
     "1" * 5000 + " * * * *"],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_what_was_given(text: str) -> None:
    with pytest.raises(InvalidName, match="cron: expected a"):
        Cron(text)


@pytest.mark.parametrize(
    "name", ["", "Vienna", "europe/vienna", "../etc/passwd", "Europe", "/etc/localtime", "UTC\0",
             "localtime", "zones"]
)  # fmt: skip
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="time zone: expected an IANA name"):
        Cron("* * * * *", name)


@pytest.mark.parametrize("macro", MACROS)
def test_macros_are_known_in_any_case(macro: str) -> None:
    first = next(Cron(macro.upper()).after(at("2026-05-05T05:05Z")))
    assert first == next(Cron(MACROS[macro]).after(at("2026-05-05T05:05Z")))
