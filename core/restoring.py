"""The typed face of the verbs that halt a partition, and bring it back. Errors: as in `queue`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .connection import call, translated
from .events import QueueRestored, Record, body_of
from .keys import Keys
from .linking import Outcome
from .log import read_entry
from .queue import PartitionQueue
from .reviving.jobs import NONE, Revived
from .reviving.settings import Settings

BATCH = 500
"""Jobs made at once: others of the server must get a turn."""

PAGE = 1000


class Link(NamedTuple):
    """That a job waits for another: of which the one that is waited for, or both, live here.

    stays    it waits on if that one does not succeed
    outcome  how that one ended; None: it lives here
    here     that one is a job of this partition
    """

    parent: str
    dependent: str
    stays: bool
    outcome: Outcome | None
    here: bool


class PartitionRestore:
    """One partition, to be brought back to what its archive holds."""

    def __init__(self, queue: PartitionQueue, redis: Any, keys: Keys) -> None:
        self.partition = queue.partition
        self._queue = queue
        self._redis = redis
        self._keys = keys

    async def condemn(self, reason: str) -> bool:
        """Halt it: every verb answers LOGLOST from now on; False if it was halted already."""
        return await self._queue.condemn(reason)

    async def set_aside(self) -> None:
        """Take all keys of the partition away but its log, which is set aside, and `:meta`."""
        base, keep = self._keys.base(self.partition), self._kept()
        with translated():
            log, lost = self._keys.log(self.partition), self._keys.lost(self.partition)
            if not await self._begun() and await self._redis.exists(log):
                await self._redis.rename(log, lost)
            async for key in self._redis.scan_iter(match=f"{_escaped(base)}:*", count=1000):
                if key not in keep:
                    await self._redis.unlink(key)

    def _kept(self) -> set[bytes]:
        names = self._keys.meta(self.partition), self._keys.lost(self.partition)
        return {name.encode() for name in names}

    async def has_log(self) -> bool:
        """Whether there is a log at all."""
        with translated():
            return bool(await self._redis.exists(self._keys.log(self.partition)))

    async def last_seq(self) -> int | None:
        """Seq of the last entry of the log; None if it has none."""
        with translated():
            log = self._keys.log(self.partition)
            found = await call(self._redis, "XREVRANGE", log, "+", "-", "COUNT", 1)
        return read_entry(self.partition, *found[0]).seq if found else None

    async def now(self) -> int:
        """ms since 1970 by the server's clock."""
        with translated():
            seconds, micros = await self._redis.time()
        return seconds * 1000 + micros // 1000

    async def remains(self, after: str = "-", *, aside: bool = False) -> list[Record]:
        """Up to `PAGE` records of what is left of the log, after a stream id."""
        key = self._keys.lost(self.partition) if aside else self._keys.log(self.partition)
        start = after if after == "-" else f"({after}"
        with translated():
            found = await self._redis.execute_command("XRANGE", key, start, "+", "COUNT", PAGE)
        return [read_entry(self.partition, *entry) for entry in found]

    async def is_aside(self) -> bool:
        """Whether what is left of the log was set aside: a restore was begun before."""
        with translated():
            return await self._begun() or bool(
                await self._redis.exists(self._keys.lost(self.partition))
            )

    async def _begun(self) -> bool:
        """Whether the log is that of a restore that was not finished."""
        return bool(await self._redis.hexists(self._keys.meta(self.partition), "restoring"))

    async def begin(self, epoch: int, last_ms: int, event: QueueRestored) -> int:
        """Begin the new epoch; ms since 1970 by the server's clock."""
        args = [epoch, event.archived, last_ms, body_of(event)]
        return await self._queue._run("restore_begin", args)

    async def make(self, epoch: int, jobs: Sequence[Revived]) -> list[int]:
        """Make hot state and append events; per job the seq of its first event, or 0."""
        args: list[Any] = [epoch]
        for one in jobs:
            args += _job_args(one)
        return await self._queue._run("restore_jobs", args)

    async def append(self, epoch: int, events: Iterable[tuple[str, bytes]]) -> None:
        """Append events of the partition itself."""
        found = list(events)
        args: list[Any] = [epoch, "", NONE, 0, 0, 0, 0, 0, 0, 0, "", len(found), 0, 0]
        for event in found:
            args += event
        if found:
            await self._queue._run("restore_jobs", args)

    async def link(self, epoch: int, links: Sequence[Link]) -> None:
        """Have jobs here tell those that wait for them, and tell of those that have ended."""
        args: list[Any] = [epoch]
        for one in links:
            mark = "*" if one.stays else ""
            args += (one.parent, one.dependent, mark, one.outcome or "", int(one.here))
        await self._queue._run("restore_links", args)

    async def put_linked(self, partitions: Iterable[str]) -> None:
        """Note partitions whose jobs wait for others, or are waited for."""
        names = list(partitions)
        with translated():
            if names:
                await self._redis.sadd(self._keys.linked, *names)

    async def hasten(self, others: Collection[str]) -> None:
        """Have jobs of other partitions that wait for others be looked after at the next sweep,
        though they have not waited for long: jobs here may not know of them any more."""
        with translated():
            linked = await call(self._redis, "SMEMBERS", self._keys.linked)
            for name in sorted(set(others) & {one.decode() for one in linked}):
                key = self._keys.dependents(name)
                await call(self._redis, "ZUNIONSTORE", key, 1, key, "WEIGHTS", 0)

    async def put_locks(self, locks: Mapping[str, tuple[str, int]]) -> None:
        """Set locks: digest → who holds it, and for how many ms (0: until it is freed)."""
        base = self._keys.base(self.partition)
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for digest, (holder, ms) in locks.items():
                pipeline.set(f"{base}:unique:{digest}", holder, px=ms or None)
            await pipeline.execute()

    async def put_settings(self, settings: Settings) -> None:
        """Set limits, who serves, and the names of job types that workers announced, without their
        defaults."""
        bounds, serving = settings.bounds, settings.serving
        with translated():
            if serving:
                await self._redis.sadd(self._keys.serving(self.partition), *sorted(serving))
            if bounds:
                await self._redis.hset(self._keys.limits(self.partition), mapping=bounds)
            await self._redis.sadd(self._keys.queues, self.partition)
            for name in sorted(settings.types):
                await self._redis.hsetnx(self._keys.announced(self.partition), name, b"{}")
                await self._redis.hsetnx(self._keys.types, name, b"{}")

    async def put_schedule(self, name: str, fields: Mapping[str, Any], at: int | None) -> None:
        """Set a schedule; `at`: when workers are to look at it (ms)."""
        with translated():
            await self._redis.hset(self._keys.schedule(self.partition, name), mapping=dict(fields))
            if "spec" in fields:
                await self._redis.hset(self._keys.schedules, name, self.partition)
                await self._redis.sadd(self._keys.scheduled, self.partition)
            if at is not None:
                await self._redis.zadd(self._keys.schedule_due(self.partition), {name: at})

    async def end(self, epoch: int, mode: str) -> int:
        """Open the partition; its last seq."""
        return await self._queue._run("restore_end", [epoch, mode])


def _job_args(one: Revived) -> list[Any]:
    job = one.job
    args: list[Any] = [
        job.id, one.code, job.priority, one.flags, job.crashes, one.tries, one.version, one.at,
        job.expires_at or 0, one.spec, len(one.events), len(one.steps), len(one.parents),
    ]  # fmt: skip
    for event in one.events:
        args += event
    for step in one.steps.items():
        args += step
    return [*args, *one.parents]


def _escaped(text: str) -> str:
    """For a glob of Redis: a namespace may hold no special characters, but `[` costs nothing."""
    return "".join(f"\\{char}" if char in "*?[]^\\" else char for char in text)
