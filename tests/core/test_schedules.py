"""Schedules as arithmetic: which instants, which are late, which are missed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import firing
from millstream.core.errors import InvalidSchedule
from millstream.core.firing import MAX_AT_ONCE, MAX_COUNTED, ON_TIME_MS, Missed, plan
from millstream.core.schedules import (
    Schedule,
    between,
    check_schedule_spec,
    due_at,
    job_of,
    latest,
    next_occurrence,
    occurrences,
    read_schedule,
    same_times,
)

NOW = 1_790_000_000_000
HOUR = 3_600_000


def schedule(**given: Any) -> Schedule:
    return Schedule(name="s", type="report", **given)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_an_interval_counts_from_1970_or_from_its_start() -> None:
    every = schedule(every=60)
    assert next_occurrence(every, NOW) == NOW // 60_000 * 60_000 + 60_000
    started = schedule(every=60, start_at=moment(NOW + 500))
    assert list(islice(occurrences(started, 0), 3)) == [NOW + 500, NOW + 60_500, NOW + 120_500]
    assert next_occurrence(started, NOW + 60_500) == NOW + 120_500


def test_start_and_end_belong_to_it() -> None:
    given = schedule(every=60, start_at=moment(NOW), end_at=moment(NOW + 120_000))
    assert list(occurrences(given, 0)) == [NOW, NOW + 60_000, NOW + 120_000]
    assert next_occurrence(given, NOW + 120_000) is None
    daily = schedule(cron="@daily", timezone="Europe/Vienna", start_at=moment(NOW),
                     end_at=moment(NOW + 3 * 24 * HOUR))  # fmt: skip
    assert len(list(occurrences(daily, 0))) == 3


def test_jitter_is_the_same_on_every_host_and_differs_by_occurrence() -> None:
    given = schedule(every=3600, jitter=600)
    dues = [due_at(given, at) - at for at in islice(occurrences(given, NOW), 200)]
    assert dues == [due_at(given, at) - at for at in islice(occurrences(given, NOW), 200)]
    assert all(0 <= late < 600_000 for late in dues)
    assert len(set(dues)) > 190
    assert due_at(given, 1_790_002_800_000) == 1_790_002_800_000 + 416_452


times = st.one_of(
    st.builds(lambda every: schedule(every=every), st.sampled_from([1, 1.5, 7, 60, 86_400])),
    st.builds(
        lambda cron, zone: schedule(cron=cron, timezone=zone),
        st.sampled_from(["* * * * * *", "*/5 * * * *", "30 2 * * *", "0 0 1 * *", "0 0 29 2 *"]),
        st.sampled_from(["UTC", "Europe/Vienna", "Australia/Lord_Howe"]),
    ),
)


@given(times, st.integers(0, 20_000_000), st.integers(0, 5))
def test_the_latest_are_the_last_of_all(given: Schedule, span: int, count: int) -> None:
    begin, end = NOW - span, NOW
    whole = list(between(given, begin, end))
    assert latest(given, begin, end, count) == whole[max(0, len(whole) - count) :]


def test_the_latest_of_ten_years_of_seconds_are_found_at_once() -> None:
    began = time.process_time()
    found = latest(schedule(cron="* * * * * *"), NOW - 87_600 * HOUR, NOW, 3)
    assert found == [NOW - 3000, NOW - 2000, NOW - 1000]
    assert latest(schedule(cron="0 0 29 2 *"), NOW - 87_600 * HOUR, NOW, 1) != []
    assert time.process_time() - began < 10


@given(times, st.integers(0, 10_000_000), st.integers(0, 7200), st.integers(0, 5))
def test_a_plan_handles_each_occurrence_once(
    given: Schedule, away: int, catchup: int, limit: int
) -> None:
    given = msgspec.structs.replace(given, catchup=float(catchup), catchup_limit=limit)
    position = next_occurrence(given, NOW - away)
    whole = list(takewhile(lambda at: at <= NOW, occurrences(given, NOW - away)))
    handled, missed, late = list[int](), 0, 0
    while position is not None and position <= NOW:
        found = plan(given, position, NOW)
        if found.missed:
            assert found.missed.first == position
            missed += found.missed.counted
        handled += [at for at, _ in found.fire]
        late += sum(cause == "catch_up" for _, cause in found.fire)
        position = found.next
    assert handled == whole[len(whole) - len(handled) :]
    gone = len(whole) - len(handled)
    assert missed == (gone if given.every else min(gone, MAX_COUNTED))
    assert late <= limit
    for at in handled:
        assert NOW - at <= max(catchup * 1000, ON_TIME_MS)
    on_time = [at for at in whole if NOW - at <= ON_TIME_MS]
    assert handled[len(handled) - len(on_time) :] == on_time


def test_what_is_on_time_fires_and_what_is_to_come_waits() -> None:
    given = schedule(every=60)
    at = next_occurrence(given, NOW)
    assert at is not None
    assert plan(given, at, at - 1) == (None, [], at)
    assert plan(given, at, at) == (None, [(at, "due")], at + 60_000)
    assert plan(given, at, at + ON_TIME_MS) == (None, [(at, "due")], at + 60_000)
    assert plan(given, at, at + ON_TIME_MS + 1) == (None, [(at, "catch_up")], at + 60_000)


def test_after_a_stop_the_newest_is_caught_up_with_and_the_rest_is_missed() -> None:
    given = schedule(every=60, start_at=moment(NOW))
    found = plan(given, NOW, NOW + 10 * 60_000 + 20_000)
    assert found == (
        Missed(NOW, NOW + 9 * 60_000, 10),
        [(NOW + 600_000, "catch_up")],
        NOW + 660_000,
    )
    three = msgspec.structs.replace(given, catchup_limit=3)
    assert [at for at, _ in plan(three, NOW, NOW + 620_000).fire] == [
        NOW + 480_000, NOW + 540_000, NOW + 600_000,
    ]  # fmt: skip
    none = msgspec.structs.replace(given, catchup=0.0)
    assert plan(none, NOW, NOW + 620_000) == (
        Missed(NOW, NOW + 600_000, 11), [], NOW + 660_000,
    )  # fmt: skip


def test_a_long_absence_costs_little_and_is_counted_up_to_a_bound() -> None:
    began = time.process_time()
    found = plan(schedule(cron="* * * * * *", catchup=0.0), NOW, NOW + 8760 * HOUR)
    assert found.missed == Missed(NOW, NOW + 8760 * HOUR - ON_TIME_MS - 1000, MAX_COUNTED)
    assert len(found.fire) == 6
    found = plan(schedule(every=1, catchup=0.0), NOW, NOW + 8760 * HOUR)
    assert found.missed == Missed(NOW, NOW + 8760 * HOUR - ON_TIME_MS - 1000, 8760 * 3600 - 5)
    ended = schedule(every=1, catchup=0.0, end_at=moment(NOW + 9_500))
    assert plan(ended, NOW, NOW + HOUR).missed == Missed(NOW, NOW + 9000, 10)
    assert time.process_time() - began < 10


def test_jitter_makes_nothing_late() -> None:
    given = schedule(every=60, jitter=60, start_at=moment(NOW))
    position: int | None = NOW
    now, causes = NOW, list[str]()
    while position is not None and position < NOW + 100 * 60_000:
        now = max(now, due_at(given, position))
        found = plan(given, position, now)
        assert found.missed is None
        causes += [cause for _, cause in found.fire]
        position = found.next
    assert set(causes) == {"due"}


def test_a_firing_is_bounded_and_goes_on_where_it_stopped() -> None:
    given = schedule(every=1, start_at=moment(NOW), catchup_limit=100)
    found = plan(given, NOW, NOW + 90_000)
    assert len(found.fire) == 91
    found = plan(given, NOW, NOW + 300_000)
    assert len(found.fire) == MAX_AT_ONCE
    assert found.next == found.fire[-1][0] + 1000


def test_a_schedule_that_ended_has_no_next() -> None:
    given = schedule(every=60, start_at=moment(NOW), end_at=moment(NOW))
    assert plan(given, NOW, NOW) == (None, [(NOW, "due")], None)
    assert plan(given, NOW, NOW + 9 * HOUR) == (Missed(NOW, NOW, 1), [], None)
    assert firing.start(given, NOW) == (None, None)


def test_a_backfill_stops_one_beyond_its_bound() -> None:
    given = schedule(every=60)
    assert len(firing.backfill(given, NOW, NOW + HOUR, 100)) == 60
    assert len(firing.backfill(given, NOW, NOW + 1000 * HOUR, 100)) == 101


def test_the_job_of_an_occurrence() -> None:
    given = schedule(every=60, payload=msgspec.Raw(b'{"a": 0.10}'), timeout=1.5, expires_in=2,
                     priority=1, concurrency_key="t-1", tags=["x"])  # fmt: skip
    job = job_of(given, NOW, NOW + 7)
    assert (job.schedule, job.occurrence) == ("s", NOW)
    assert (job.timeout_ms, job.expires_at, job.priority) == (1500, NOW + 2007, 1)
    assert bytes(job.payload.data) == b'{"a": 0.10}'
    body = msgspec.json.encode(job)
    assert body.index(b'"occurrence"') < body.index(b'"payload"')


def test_it_is_stored_as_it_is_taken() -> None:
    text = (b'{"name":"s","type":"report","cron":"@daily","timezone":"Europe/Vienna",'
            b'"payload":{"n":12345678901234567890}}')  # fmt: skip
    assert msgspec.json.encode(read_schedule(text)) == text


def test_what_makes_other_times() -> None:
    one = schedule(every=60)
    assert same_times(one, schedule(every=60, priority=1, payload=msgspec.Raw(b"1")))
    assert not same_times(one, schedule(every=61))
    assert not same_times(one, schedule(every=60, start_at=moment(NOW)))
    assert not same_times(schedule(cron="@daily"), schedule(cron="@daily", timezone="Asia/Tokyo"))


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "cron"),
    ({"every": 60, "cron": "@daily"}, "every"),
    ({"cron": "61 * * * *"}, "cron"),
    ({"cron": "0 0 30 2 *"}, "cron"),
    ({"cron": "@daily", "timezone": "Atlantis"}, "timezone"),
    ({"every": 60, "timezone": "Atlantis"}, "timezone"),
    ({"every": 60, "queue": "No"}, "queue"),
    ({"every": 60, "start_at": moment(NOW), "end_at": moment(NOW - 1)}, "end_at"),
    ({"every": 60, "start_at": datetime(1969, 12, 31, tzinfo=UTC)}, "start_at"),
    ({"every": 60, "end_at": datetime(2200, 1, 1, tzinfo=UTC)}, "end_at"),
    ({"every": 60, "end_at": datetime.max.replace(tzinfo=UTC) - timedelta(1)}, "end_at"),
    ({"every": 60, "jitter": 61}, "jitter"),
    ({"cron": "0 0 29 2 *", "start_at": datetime(2026, 3, 1, tzinfo=UTC),
      "end_at": datetime(2027, 3, 1, tzinfo=UTC)}, "end_at"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "field"), BAD)
def test_what_cannot_be_is_refused_by_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        check_schedule_spec(schedule(**given))
    assert caught.value.field == field
    assert caught.value.message.startswith("expected ")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a" * 129, 'a"', "é"])
def test_names_are_bounded(name: str) -> None:
    with pytest.raises(InvalidSchedule, match="name: expected 1 to 128"):
        check_schedule_spec(Schedule(name=name, type="t", every=60))


@pytest.mark.parametrize(
    ("field", "value"),
    [("every", "0.5"), ("every", "1e9"), ("jitter", "-1"), ("catchup", "-1"), ("priority", "10"),
     ("catchup_limit", "101"), ("overlap", '"queue"'), ("start_at", '"2026-01-01T00:00:00"'),
     ("rate_key", '"a\\"b"'), ("max_attempts", "0"), ("calendar", "1"), ("timeout", "0")],
)  # fmt: skip
def test_the_wrong_shape_is_told_by_path(field: str, value: str) -> None:
    text = f'{{"name":"s","type":"t","{field}":{value}}}'
    with pytest.raises(
        msgspec.ValidationError, match=field if field == "calendar" else rf"\$\.{field}"
    ):
        read_schedule(text.encode())


def test_every_good_schedule_is_taken() -> None:
    check_schedule_spec(schedule(every=1, start_at=moment(0), end_at=moment(7_258_118_399_000)))
    check_schedule_spec(schedule(cron="0 30 2 * * MON-FRI", timezone="America/New_York"))
