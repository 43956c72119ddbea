"""How long things are kept. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from ...core.config import Settings
from ..partitions import DAY_MS

SLACK_DAYS = 1
"""Days after which a day is looked at, beyond its age: its last jobs ended on the next one, and
what goes together costs one drop of a table, not many deletions."""


class Policy(NamedTuple):
    """Days by queue (`*`: all others; a queue without is kept for ever), and of statistics."""

    days: dict[str, float]
    statistics: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """What the settings say."""
        return cls(settings.kept_days, settings.retention_statistics)

    @property
    def nothing(self) -> bool:
        """Whether all is kept for ever."""
        return not self.days and self.statistics is None

    def cutoffs(self, queues: Iterable[str], now: int) -> dict[str, int]:
        """Queue → the time (ms) before which its jobs ended long enough ago at `now`."""
        found = {queue: self.days.get(queue, self.days.get("*")) for queue in queues}
        return {
            queue: now - round(days * DAY_MS) for queue, days in found.items() if days is not None
        }

    def last_day(self, now: int) -> int | None:
        """The last day worth looking at: none that is younger can go. None: nothing ever goes."""
        if not self.days:
            return None
        return now // DAY_MS - 1 - SLACK_DAYS - int(min(self.days.values()))
