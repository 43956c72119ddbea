"""Time zones, from the `tzdata` wheel alone, and where their offsets change.

The zones of the operating system are not looked at: hosts that run the same release must agree on
every occurrence of a schedule, whatever their distributions know of the world's politics.
"""

from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from .errors import InvalidName

DAY = 86_400


@cache
def zone_names() -> frozenset[str]:
    """All zones there are."""
    return frozenset((files("tzdata") / "zones").read_text().split())


class Zone:
    """A zone as whole seconds: instants are seconds since 1970, offsets seconds east of UTC."""

    def __init__(self, name: str) -> None:
        self.name = name
        with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
            self._info = ZoneInfo.from_file(file, key=name)

    def offset(self, instant: int) -> int:
        """The offset in force at an instant."""
        found = datetime.fromtimestamp(instant, self._info).utcoffset()
        assert found is not None
        return int(found.total_seconds())

    def local(self, instant: int) -> datetime:
        """What a clock on the wall shows, without a zone."""
        return datetime.fromtimestamp(instant, self._info).replace(tzinfo=None, fold=0)

    def first(self, wall: datetime) -> int:
        """The first instant at which a wall clock shows `wall`, or has just passed it by.

        A time that the clocks jump over gives the instant of that jump.
        """
        aware = wall.replace(tzinfo=self._info, fold=0)
        instant = int(aware.timestamp())
        if self.local(instant) == wall:
            return instant
        # In a gap fold 0 counts with the offset before it, so the jump lies at or before `instant`.
        change = self.change(instant - 2 * DAY, instant)
        while change is not None and self.local(change) < wall:
            change = self.change(change, instant)
        return instant if change is None else change

    def change(self, after: int, until: int) -> int | None:
        """The first instant in (after, until] from which another offset is in force."""
        for year in range(_year(after), _year(until) + 1):
            for at in self._changes(year):
                if after < at <= until:
                    return at
        return None

    @lru_cache(maxsize=4096)  # noqa: B019 (zones are kept for ever, see zone)
    def _changes(self, year: int) -> tuple[int, ...]:
        """All changes of one year, found by looking once a day."""
        found: list[int] = []
        begin = _new_year(year)
        before = self.offset(begin - 1)
        for low in range(begin - 1, _new_year(year + 1) - 1, DAY):
            after = self.offset(low + DAY)
            if after != before:
                found.append(self._bisect(low, low + DAY, before))
                before = after
        return tuple(found)

    def _bisect(self, low: int, high: int, before: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset(middle) == before:
                low = middle
            else:
                high = middle
        return high


@cache
def zone(name: str) -> Zone:
    """The zone of an IANA name. Raises InvalidName."""
    if name not in zone_names():
        raise InvalidName("time zone", name[:80], "an IANA name such as 'Europe/Vienna'")
    return Zone(name)


def _year(instant: int) -> int:
    return datetime.fromtimestamp(instant, UTC).year


@cache
def _new_year(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
