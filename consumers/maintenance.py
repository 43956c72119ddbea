"""The sweep of all partitions: the truth that bells and renewals only make fast."""

import asyncio
import random

import structlog

from ..core.errors import GroupLost, LogLost, Unavailable
from ..core.joining import Joiner
from ..core.queue import PartitionQueue

_log = structlog.stdlib.get_logger("millstream.maintenance")


MOST_SWEEPS = 200
"""Partitions a worker sweeps in a second: what it costs must not grow with their number."""


def sweep_pause(sweep: float, partitions: int) -> float:
    """Seconds between two sweeps of one partition, of so many that are swept by a worker."""
    return max(sweep, partitions / MOST_SWEEPS)


class Maintenance:
    """Queues due jobs, takes expired leases back, and has ends told to who waits for them; in each
    partition every `sweep` seconds.

    With very many partitions each has its turn less often, see `sweep_pause`. Every worker does
    it; the verbs make it the same as if one did. Without a `joiner` nobody is told of ends. Leases
    that could not be renewed in an outage are given time; `outages=False`: there are none.
    """

    def __init__(
        self,
        joiner: Joiner | None,
        *,
        sweep: float,
        lease: float,
        max_crashes: int,
        outages: bool = True,
    ) -> None:
        self._joiner = joiner
        self._outages = outages
        self._sweep = sweep
        self._lease_ms = round(lease * 1000)
        self._max_crashes = max_crashes
        self._queues: list[PartitionQueue] = []

    def add(self, queue: PartitionQueue) -> None:
        """Maintain one more partition."""
        self._queues.append(queue)

    async def run(self) -> None:
        """Sweep for ever, one partition after the other, whatever happens."""
        while True:
            queues = list(self._queues)
            pause = sweep_pause(self._sweep, len(queues)) / max(1, len(queues))
            for queue in queues:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                await self._swept(queue)
            if not queues:
                await asyncio.sleep(pause)

    async def _swept(self, queue: PartitionQueue) -> None:
        try:
            await self.sweep(queue)
        except (Unavailable, LogLost) as error:
            _log.warning("cannot sweep", queue=queue.partition, error=str(error))
        except Exception as error:
            _log.error("cannot sweep", queue=queue.partition, exc_info=error)

    async def sweep(self, queue: PartitionQueue) -> None:
        """One sweep. Raises what the verbs raise, but mends a lost group."""
        try:
            await queue.promote()
            more = True
            while more:
                reaped, more = await queue.reap(
                    self._lease_ms, self._max_crashes, away_ms=self._away_ms()
                )
                if reaped:
                    _log.warning("leases expired", queue=queue.partition, count=reaped)
        except GroupLost:
            await mend(queue)
        if self._joiner is not None:
            await self._joiner.sweep(queue)

    def _away_ms(self) -> int:
        """After so long without a sweep by anybody there was an outage: nobody could renew.

        Half a lease: what was renewed just before a shorter one has the other half left. And so
        many sweeps that one which is late is no outage.
        """
        if not self._outages:
            return 0
        pause = sweep_pause(self._sweep, len(self._queues))
        return round(max(self._lease_ms / 2, 3000 * pause))


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
