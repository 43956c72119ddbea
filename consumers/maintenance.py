"""The sweep of each partition: the truth that bells and renewals only make fast."""

import asyncio
import random

import structlog

from ..core.errors import GroupLost, LogLost, Unavailable
from ..core.queue import PartitionQueue

_log = structlog.stdlib.get_logger("millstream.maintenance")


class Maintenance:
    """Queues due jobs and takes expired leases back, in one partition, every `sweep` seconds.

    Every worker does it; the verbs make it the same as if one did.
    """

    def __init__(
        self, queue: PartitionQueue, *, sweep: float, lease: float, max_crashes: int
    ) -> None:
        self._queue = queue
        self._sweep = sweep
        self._lease_ms = round(lease * 1000)
        self._max_crashes = max_crashes

    async def run(self) -> None:
        """Sweep for ever, whatever happens."""
        while True:
            await asyncio.sleep(self._sweep * random.uniform(0.5, 1))
            try:
                await self.sweep()
            except (Unavailable, LogLost) as error:
                _log.warning("cannot sweep", queue=self._queue.partition, error=str(error))
            except Exception as error:
                _log.error("cannot sweep", queue=self._queue.partition, exc_info=error)

    async def sweep(self) -> None:
        """One sweep. Raises what the verbs raise, but mends a lost group."""
        try:
            await self._queue.promote()
            more = True
            while more:
                reaped, more = await self._queue.reap(self._lease_ms, self._max_crashes)
                if reaped:
                    _log.warning("leases expired", queue=self._queue.partition, count=reaped)
        except GroupLost:
            await mend(self._queue)


async def mend(queue: PartitionQueue) -> None:
    """Make lost consumer groups again; never raises, since the next sweep finds what is left."""
    try:
        moved = await queue.mend()
    except Exception as error:
        _log.error("a lost consumer group cannot be made again", queue=queue.partition,
                   exc_info=error)  # fmt: skip
    else:
        _log.error("a consumer group was lost and made again: jobs that ran run again",
                   alarm=True, queue=queue.partition, jobs=moved)  # fmt: skip
