"""All schedules of a namespace, by name.

Names are unique: a hash says which partition each lives in. It is written before the partition and
cleared after it, so a crash between leaves at most an entry that leads nowhere, which the next
schedule of that name takes over.
"""

from typing import Any, Literal

from .connection import translated
from .events import Command
from .keys import Keys
from .queue import Directory
from .schedule_store import PartitionSchedules, Put, State
from .schedules import Schedule


class Schedules:
    """All schedules of a namespace, by name."""

    def __init__(self, redis: Any, keys: Keys, directory: Directory) -> None:
        self._redis = redis
        self._keys = keys
        self._directory = directory
        self._known: dict[str, PartitionSchedules] = {}

    def of(self, partition: str) -> PartitionSchedules:
        """The schedules of one partition."""
        found = self._known.get(partition)
        if found is None:
            queue = self._directory.queue(partition)
            found = self._known[partition] = PartitionSchedules(queue, self._redis, self._keys)
        return found

    async def now(self) -> int:
        """The server's clock, ms since 1970."""
        with translated():
            seconds, micros = await self._redis.time()
        return seconds * 1000 + micros // 1000

    async def partition_of(self, name: str) -> str | None:
        """Where a schedule of that name lives, or will live."""
        with translated():
            found = await self._redis.hget(self._keys.schedules, name)
        return None if found is None else found.decode()

    async def find(self, name: str) -> State | None:
        """The schedule of that name."""
        partition = await self.partition_of(name)
        return None if partition is None else await self.of(partition).get(name)

    async def names(self) -> dict[str, str]:
        """Every name with its partition, sorted by name."""
        with translated():
            found = await self._redis.hgetall(self._keys.schedules)
        return {name.decode(): partition.decode() for name, partition in sorted(found.items())}

    async def partitions(self) -> set[str]:
        """The partitions that ever had a schedule."""
        with translated():
            return {name.decode() for name in await self._redis.smembers(self._keys.scheduled)}

    async def register(self, name: str, partition: str) -> str:
        """Reserve a name for a partition; which one has it now: maybe another."""
        await self._directory.register(partition)
        with translated():
            await self._redis.sadd(self._keys.scheduled, partition)
            if await self._redis.hsetnx(self._keys.schedules, name, partition):
                return partition
        holder = await self.partition_of(name)
        if holder in (None, partition):
            return partition
        if await self.of(holder).get(name) is not None:
            return holder
        # Somebody stopped between the index and the partition, or between the two of a delete.
        with translated():
            await self._redis.hset(self._keys.schedules, name, partition)
        return partition

    async def put(
        self, given: Schedule, by: Command, *, old: State | None = None, digest: str = ""
    ) -> tuple[Put | Literal["elsewhere"], int]:
        """Make or change a schedule whose queue is known, see `PartitionSchedules.put`.

        elsewhere: a schedule of that name lives in another queue.
        """
        assert given.queue is not None
        if await self.register(given.name, given.queue) != given.queue:
            return "elsewhere", 0
        own, now = self.of(given.queue), await self.now()
        outcome, version = await own.put(given, by, old=old, digest=digest, now=now)
        if outcome == "created" and await self.partition_of(given.name) != given.queue:
            # Somebody took the name, which led nowhere, in the moment before.
            await own.delete(given.name, by)
            return "elsewhere", 0
        return outcome, version

    async def forget(self, name: str, partition: str) -> None:
        """Free the name of a schedule that was deleted."""
        if await self.partition_of(name) == partition:
            with translated():
                await self._redis.hdel(self._keys.schedules, name)
