"""Schedules that stand in code, and what a worker does about them when it starts.

A digest of the declaration is kept with the schedule. While it is the same, nothing is done, so
whatever operators did since (a change, a pause, a deletion) stays; a declaration that was changed
is put into force, but what was paused stays paused.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from ..core.errors import InvalidSchedule, LogLost, MemoryFull
from ..core.events import Command
from ..core.schedule_index import Schedules
from ..core.schedules import Schedule, check_schedule_spec, read_schedule
from .errors import HandlerError

_log = structlog.stdlib.get_logger("millstream.schedules")

_REASONS = {
    "foreign": "a schedule of that name was made by hand; delete it to have the declared one",
    "elsewhere": "a schedule of that name lives in another queue",
}


def declared(
    type: str,
    queue: str,
    max_attempts: int,
    times: Mapping[str, Any],
    more: Mapping[str, Any] | None,
) -> Schedule | None:
    """The schedule a handler declares, named as its job type unless it says otherwise.

    `times`: cron, every and timezone; `more`: any fields of a schedule as the API takes it. Raises
    HandlerError.
    """
    said = {name: value for name, value in times.items() if value is not None}
    given: dict[str, Any] = {**said, **(more or {})}
    if more is None and not ("cron" in given or "every" in given):
        if given["timezone"] != "UTC":
            raise HandlerError(type, "cron or every beside timezone", "neither")
        return None
    for field, value in (("type", type), ("queue", queue)):
        if given.setdefault(field, value) != value:
            raise HandlerError(type, f"a schedule of the handler's {field} {value!r}", given[field])
    given.setdefault("name", type)
    given.setdefault("max_attempts", max_attempts)
    try:
        schedule = read_schedule(msgspec.json.encode(given))
        check_schedule_spec(schedule)
    except InvalidSchedule as error:
        raise HandlerError(type, "a good schedule", f"{error.field}: {error.message}") from None
    except (msgspec.ValidationError, TypeError) as error:
        raise HandlerError(type, "a good schedule", str(error)) from None
    if schedule.codec != "json":
        raise HandlerError(type, "a payload of codec json", schedule.codec)
    return schedule


def digest_of(schedule: Schedule) -> str:
    """What tells a declaration from another."""
    return hashlib.sha256(msgspec.json.encode(schedule)).hexdigest()[:32]


async def declare(schedules: Schedules, declarations: Iterable[Schedule], worker: str) -> None:
    """Put declared schedules into force. Raises Unavailable; what else fails is logged."""
    by = Command(f"worker {worker}", "declared in code")
    for schedule in declarations:
        try:
            outcome, _ = await schedules.put(schedule, by, digest=digest_of(schedule))
        except (LogLost, MemoryFull) as error:
            _log.error("a schedule cannot be made", schedule=schedule.name, error=str(error))
            continue
        if outcome in _REASONS:
            _log.warning("a declared schedule was left out", schedule=schedule.name,
                         queue=schedule.queue, reason=_REASONS[outcome])  # fmt: skip
        elif outcome != "same":
            _log.info("a declared schedule is in force", schedule=schedule.name, outcome=outcome)
