"""Schedules as pure arithmetic: what one says, and which instants it stands for.

`Schedule` is what the API takes (but for the codec, which encryption sets), what is stored, and
what `schedule.created` tells. Instants are ms since 1970, by UTC; a firing is due at its occurrence
plus the occurrence's own jitter.
"""

import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice, takewhile
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from .codec import NULL, Data
from .cron import Cron
from .errors import InvalidName, InvalidSchedule
from .events import JobSubmitted
from .keys import check_job_type, check_queue, check_schedule
from .retry import MAX_ATTEMPTS, MAX_DELAY, Backoff
from .zones import zone

FIRST = 0
LAST = 7_258_118_400_000
"""The years 1970 to 2199: schedules are for the near future."""

MAX_JITTER = 86_400.0
MAX_CATCHUP_LIMIT = 100
"""Most occurrences of one schedule that are fired late at once."""

NO_NUL = "^[^\\x00]*$"
KEY = "^[a-zA-Z0-9._:/@+-]{1,128}$"

Overlap = Literal["allow", "skip", "buffer_one", "cancel_running"]
Instant = Annotated[datetime, Meta(tz=True)]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]
MetadataValue = Annotated[str, Meta(max_length=1024, pattern=NO_NUL)]
LimitKey = Annotated[str, Meta(pattern=KEY)]
Duration = Annotated[float, Meta(gt=0, le=MAX_DELAY)]


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When jobs are submitted by themselves, and which. Durations are seconds.

    cron           5 or 6 fields (seconds first) or a macro; matched in `timezone`
    every          an interval, counted from `start_at`, or else from 1970
    start_at       no occurrence before it; `end_at`: none after it
    jitter         each occurrence is fired up to that much later, always the same for the same one
    overlap        what happens while the job of an earlier occurrence lives
    catchup        how late an occurrence may be fired at all
    catchup_limit  how many may be, the latest ones, after a time without workers
    expires_in     the job is given up if it has not begun that long after it was fired
    """

    name: str
    type: str
    cron: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    every: Annotated[float, Meta(ge=1, le=MAX_DELAY)] | None = None
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    start_at: Instant | None = None
    end_at: Instant | None = None
    jitter: Annotated[float, Meta(ge=0, le=MAX_JITTER)] = 0.0
    overlap: Overlap = "allow"
    catchup: Annotated[float, Meta(ge=0, le=MAX_DELAY)] = 3600.0
    catchup_limit: Annotated[int, Meta(ge=0, le=MAX_CATCHUP_LIMIT)] = 1
    queue: str | None = None
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] | None = None
    backoff: Backoff | None = None
    timeout: Duration | None = None
    expires_in: Duration | None = None
    concurrency_key: LimitKey | None = None
    rate_key: LimitKey | None = None
    tags: Annotated[list[Tag], Meta(max_length=32)] = []
    metadata: Annotated[dict[Tag, MetadataValue], Meta(max_length=64)] = {}
    codec: str = "json"
    """Of the payload; any other is that of one encrypted for whom the jobs are about."""

    @property
    def data(self) -> Data:
        """Its payload as it stands in the event of each of its jobs."""
        return Data(self.payload, self.codec)


read_schedule = msgspec.json.Decoder(Schedule).decode
"""A schedule from JSON; raises msgspec.ValidationError, also for what a later release wrote."""


def check_schedule_spec(given: Schedule) -> None:
    """Refuse values of the right shape that make no schedule. Raises InvalidSchedule."""
    _check_names(given)
    if (given.cron is None) == (given.every is None):
        field = "cron" if given.cron is None else "every"
        got = "neither" if given.cron is None else "both"
        raise InvalidSchedule(field, f"expected either cron or every, got {got}")
    begin, end = FIRST, LAST
    if given.start_at is not None:
        begin = _bounded("start_at", given.start_at)
    if given.end_at is not None:
        end = _bounded("end_at", given.end_at)
    if end < begin:
        raise InvalidSchedule("end_at", "expected a time after start_at")
    if given.every is not None and given.jitter > given.every:
        raise InvalidSchedule("jitter", f"expected at most every ({given.every:g} seconds)")
    if next(occurrences(given, begin - 1), None) is None:
        raise InvalidSchedule("end_at", "expected an occurrence before it, there is none")


def _check_names(given: Schedule) -> None:
    checks: dict[str, tuple[Callable[[str], object], str]] = {
        "name": (check_schedule, given.name),
        "type": (check_job_type, given.type),
    }
    if given.queue is not None:
        checks["queue"] = check_queue, given.queue
    checks["timezone"] = zone, given.timezone
    if given.cron is not None:
        checks["cron"] = (lambda cron: Cron(cron)), given.cron
    for field, (check, value) in checks.items():
        try:
            check(value)
        except InvalidName as error:
            message = f"expected {error.expected}, got {error.given[:80]!r}"
            raise InvalidSchedule(field, message) from None


def _bounded(field: str, given: datetime) -> int:
    at = round(given.timestamp() * 1000)
    if not FIRST <= at < LAST:
        raise InvalidSchedule(field, f"expected a year from 1970 to 2199, got {given.isoformat()}")
    return at


def occurrences(schedule: Schedule, after: int) -> Iterator[int]:
    """Its occurrences after an instant, in order, as they are asked for."""
    start, end = _limits(schedule)
    after = max(after, start - 1)
    found = _by_interval(schedule, after) if schedule.every else _by_cron(schedule, after)
    return takewhile(lambda at: at <= end, found)


def next_occurrence(schedule: Schedule, after: int) -> int | None:
    """The first occurrence after an instant; None: there will be none."""
    return next(occurrences(schedule, after), None)


def between(schedule: Schedule, begin: int, end: int) -> Iterator[int]:
    """Its occurrences from `begin` up to, but without, `end`."""
    return takewhile(lambda at: at < end, occurrences(schedule, begin - 1))


def latest(schedule: Schedule, begin: int, end: int, count: int) -> list[int]:
    """The last `count` occurrences in [begin, end): found from its end, however long it is."""
    found: list[int] = []
    span = 60_000
    while count > 0 and begin < end:
        low = max(begin, end - span)
        found = list(between(schedule, low, end))
        if len(found) >= count or low == begin:
            break
        # A span that held something was too short by about that factor; an empty one tells little.
        span *= min(max(2, -(-2 * count // len(found))), 60) if found else 60
    return found[-count:] if count > 0 else []


def count(schedule: Schedule, begin: int, end: int, most: int) -> int:
    """How many occurrences lie in [begin, end); of a cron expression, no further than `most`."""
    if schedule.every is None:
        return sum(1 for _ in islice(between(schedule, begin, end), most))
    first = next(between(schedule, begin, end), None)
    if first is None:
        return 0
    stop = min(end, _limits(schedule)[1] + 1)
    return -(-(stop - first) // round(schedule.every * 1000))


def due_at(schedule: Schedule, occurrence: int) -> int:
    """When an occurrence is to be fired: the same on every host, since nothing is drawn."""
    if not schedule.jitter:
        return occurrence
    chance = zlib.crc32(f"{schedule.name}\0{occurrence}".encode()) / 2**32
    return occurrence + int(chance * schedule.jitter * 1000)


def same_times(one: Schedule, other: Schedule) -> bool:
    """Whether both stand for the same instants."""
    return _times(one) == _times(other)


def job_of(schedule: Schedule, occurrence: int, now: int) -> JobSubmitted:
    """The job an occurrence becomes when it is fired `now`."""
    expires = None if schedule.expires_in is None else now + round(schedule.expires_in * 1000)
    timeout = None if schedule.timeout is None else max(1, round(schedule.timeout * 1000))
    return JobSubmitted(
        type=schedule.type,
        concurrency_key=schedule.concurrency_key,
        rate_key=schedule.rate_key,
        schedule=schedule.name,
        occurrence=occurrence,
        payload=schedule.data,
        priority=schedule.priority,
        max_attempts=schedule.max_attempts or 5,
        backoff=schedule.backoff,
        timeout_ms=timeout,
        expires_at=expires,
        tags=schedule.tags,
        metadata=schedule.metadata,
    )


def _limits(schedule: Schedule) -> tuple[int, int]:
    start, end = schedule.start_at, schedule.end_at
    return (
        FIRST if start is None else round(start.timestamp() * 1000),
        LAST if end is None else min(LAST, round(end.timestamp() * 1000)),
    )


def _times(schedule: Schedule) -> tuple[object, ...]:
    zone = None if schedule.cron is None else schedule.timezone
    return (schedule.cron, schedule.every, zone, schedule.jitter, *_limits(schedule))


def _by_interval(schedule: Schedule, after: int) -> Iterator[int]:
    assert schedule.every is not None
    step = round(schedule.every * 1000)
    origin = _limits(schedule)[0]
    at = origin + max(0, (after - origin) // step + 1) * step
    while True:
        yield at
        at += step


def _by_cron(schedule: Schedule, after: int) -> Iterator[int]:
    assert schedule.cron is not None
    found = Cron(schedule.cron, schedule.timezone).after(after // 1000)
    return (at * 1000 for at in found)
