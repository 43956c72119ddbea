"""Cron expressions: which instants one stands for in a time zone. Instants are seconds since 1970.

cronsim reads the fields and finds the wall-clock times that match. How those become instants where
clocks are put forward or back is decided here, by the rule of Debian's cron:

- at set times (neither the minute nor the hour field begins with ``*``): a time that is jumped over
  fires at the instant of the jump, a time that comes twice fires the first time;
- otherwise (every so often): a time that is jumped over does not come, one that comes twice fires
  twice, so that what runs every ten minutes goes on doing so.

Several times that fall on one instant are one occurrence.
"""

import copy
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from .errors import InvalidName
from .zones import Zone, zone

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (a clock on the wall has no zone)
_SECOND = timedelta(seconds=1)
_AHEAD = 30 * 86_400
_MINUTE_AND_HOUR = slice(-5, -3)


class Cron:
    """An expression in a zone. Raises InvalidName if it is none, or names no zone."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self._sim = _parse(expression)
        self._zone: Zone = zone(timezone)
        at = self._sim.parts[_MINUTE_AND_HOUR]
        self._set_times = not any(field.startswith("*") for field in at)

    def after(self, instant: int) -> Iterator[int]:
        """Its occurrences after an instant, in order; ends if none comes for 50 years."""
        return self._at_set_times(instant) if self._set_times else self._every_so_often(instant)

    def _at_set_times(self, instant: int) -> Iterator[int]:
        last = instant
        for wall in self._walls(self._zone.local(instant)):
            at = self._zone.first(wall)
            if at > last:
                yield at
                last = at

    def _every_so_often(self, instant: int) -> Iterator[int]:
        """Stretch by stretch of one offset: on each, instants and wall clock go in step."""
        begin: int | None = instant
        wall = self._zone.local(instant)
        while begin is not None:
            begin = yield from self._stretch(begin, wall)
            if begin is not None:
                wall = self._zone.local(begin) - _SECOND  # its first instant may be an occurrence

    def _stretch(self, begin: int, wall: datetime) -> Generator[int, None, int | None]:
        """Occurrences until the offset changes; returns when it does, None if there are no more."""
        offset = self._zone.offset(begin)
        known = begin  # until here the offset is known not to change
        for found in self._walls(wall):
            at = _seconds(found) - offset
            if at > known:
                change = self._zone.change(begin, at + _AHEAD)
                if change is not None and change <= at:
                    return change
                known = at + _AHEAD if change is None else change - 1
            yield at
        return None

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """Times on the wall that match, after a given one."""
        sim = copy.copy(self._sim)
        sim.dt = after
        return sim


@lru_cache(4096)
def _parse(expression: str) -> CronSim:
    """The fields of an expression. Raises InvalidName."""
    given = expression.strip()
    expected = "a cron expression of 5 or 6 fields, such as '30 3 * * MON-FRI', or a macro"
    try:
        sim = CronSim(MACROS.get(given.lower(), given), _EPOCH)
        next(copy.copy(sim))
    except (CronSimError, ValueError, AssertionError) as error:
        raise InvalidName("cron", expression, f"{expected} ({error})") from None
    except StopIteration:
        raise InvalidName("cron", expression, "an expression that ever comes true") from None
    return sim


def _seconds(wall: datetime) -> int:
    return (wall - _EPOCH) // _SECOND
