"""What the archive says of a partition beside its jobs."""

from typing import Any

import structlog

from ...core import events as ev
from ...core.errors import MillstreamError
from ...core.events import Record
from ...core.reviving.schedules import Standings
from ...core.reviving.settings import Settings
from ...core.upcast import decode
from ..rows import read_record
from ..statements import statement

PREFETCH = 1000

log = structlog.get_logger("millstream.restore")


class Plan:
    """Takes the events of a partition that are of no one job, and those that hold timed locks."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.schedules = Standings()
        self.handled: set[tuple[str, int]] = set()
        self.timed: dict[str, tuple[Record, int]] = {}
        """Digest → spec of the job that holds it, and until when (ms)."""

    def take(self, record: Record) -> None:
        """One more event, in order; one that cannot be read is passed over, and said."""
        try:
            event = decode(record)
            self.settings.take(event)
        except (MillstreamError, ValueError) as error:
            log.warning("restore.unreadable", position=record.position, reason=str(error))
            return
        self.schedules.take(record, event)
        match event:
            case ev.ScheduleFired() | ev.ScheduleSkipped():
                self.handled.add((event.schedule, event.occurrence))
            case ev.JobSubmitted() if event.lock is not None and event.lock_ms is not None:
                self._lock(record, event.lock, event.lock_ms)
            case _:
                pass

    def _lock(self, record: Record, digest: str, ms: int) -> None:
        before = self.timed.get(digest)
        if before is not None and before[1] > record.time:
            if before[0].job == record.job:  # another spec of the same job: the time goes on
                self.timed[digest] = record, before[1]
            return
        self.timed[digest] = record, record.time + ms


async def read_plan(connection: Any, partition: str) -> Plan:
    """Read all there is of it; in a transaction."""
    plan = Plan()
    async for row in connection.cursor(
        statement("partition_settings"), partition, prefetch=PREFETCH
    ):
        plan.take(read_record(row))
    return plan
