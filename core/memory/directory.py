"""All partitions in memory, their job types and their schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codec import encode
from ..keys import Keys
from ..queue import Directory
from ..schedule_index import Schedules
from ..schedule_store import PartitionSchedules, State
from ..subjects import SubjectKeys
from .clock import Clock
from .queue import MemoryQueue, NotInMemory


class MemoryDirectory(Directory):
    """As `Directory`; `queues`: every partition that was ever asked for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(None, Keys())
        self.clock = clock
        self.queues: dict[str, MemoryQueue] = {}
        self._registered: set[str] = set()
        self._linked: set[str] = set()
        self._types: dict[str, bytes] = {}

    def queue(self, partition: str) -> MemoryQueue:
        """As `Directory.queue`."""
        found = self.queues.get(partition)
        if found is None:
            found = self.queues[partition] = MemoryQueue(partition, self.clock)
        return found

    def subject_keys(self) -> SubjectKeys:
        """Raises NotInMemory: nothing is sealed in memory."""
        raise NotInMemory("subject_keys")

    async def register(self, partition: str) -> None:
        """As `Directory.register`."""
        self._registered.add(partition)

    async def link(self, partition: str) -> None:
        """As `Directory.link`."""
        self._linked.add(partition)

    async def linked(self) -> list[str]:
        """As `Directory.linked`."""
        return sorted(self._linked)

    async def has(self, partition: str) -> bool:
        """As `Directory.has`."""
        return partition in self._registered

    async def partitions(self) -> list[str]:
        """As `Directory.partitions`."""
        return sorted(self._registered)

    async def announce_types(self, types: Mapping[str, Any]) -> None:
        """As `Directory.announce_types`."""
        self._types.update({name: encode(defaults) for name, defaults in types.items()})

    async def types(self) -> dict[str, bytes]:
        """As `Directory.types`."""
        return dict(self._types)

    async def types_of(self, partition: str) -> set[str]:
        """As `Directory.types_of`."""
        return set(self.queue(partition).rooms.types)


class _Own(PartitionSchedules):
    """The schedules of one partition."""

    def __init__(self, queue: MemoryQueue) -> None:
        super().__init__(queue, None, Keys())
        self._rooms = queue.rooms

    async def get_all(self, names: Sequence[str]) -> list[State | None]:
        return [self._state(name, self._rooms.flat(name)) for name in names]


class MemorySchedules(Schedules):
    """As `Schedules`."""

    def __init__(self, directory: MemoryDirectory) -> None:
        super().__init__(None, Keys(), directory)
        self._queues = directory
        self._names: dict[str, str] = {}
        self._scheduled: set[str] = set()

    def of(self, partition: str) -> PartitionSchedules:
        """As `Schedules.of`."""
        found = self._known.get(partition)
        if found is None:
            found = self._known[partition] = _Own(self._queues.queue(partition))
        return found

    async def now(self) -> int:
        """The clock of the directory, ms since 1970."""
        return self._queues.clock.now

    async def partition_of(self, name: str) -> str | None:
        """As `Schedules.partition_of`."""
        return self._names.get(name)

    async def names(self) -> dict[str, str]:
        """As `Schedules.names`."""
        return dict(sorted(self._names.items()))

    async def partitions(self) -> set[str]:
        """As `Schedules.partitions`."""
        return set(self._scheduled)

    async def register(self, name: str, partition: str) -> str:
        """As `Schedules.register`."""
        await self._directory.register(partition)
        self._scheduled.add(partition)
        holder = self._names.setdefault(name, partition)
        if holder != partition and await self.of(holder).get(name) is None:
            holder = self._names[name] = partition
        return holder

    async def forget(self, name: str, partition: str) -> None:
        """As `Schedules.forget`."""
        if self._names.get(name) == partition:
            del self._names[name]
