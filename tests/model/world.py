"""The real partition beside the model: its server, its time, and what can be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.connection import call, connect, connect_sync
from millstream.core.events import Record
from millstream.core.hot import _HEADER
from millstream.core.keys import GROUP, PRIORITIES, Keys
from millstream.core.log import read_entry
from millstream.core.queue import LeaseRenewer, PartitionQueue

from .due import Instant
from .state import State, of_hot

PARTITION = "default"
MINUTE = 60_000
GRAIN = 50_000
"""An example that takes longer (ms) confuses the minutes of the model with real ones."""


class World:
    """A server's partition, and which of its milliseconds each tick of the model was."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = Keys()
        self.redis: Any = connect(url, timeout=30)
        self.sync: Any = connect_sync(url, timeout=30)
        self.queue = PartitionQueue(self.redis, PARTITION, self.keys)
        self.times: dict[int, tuple[int, int]] = {}
        self._after = 0
        self._read = "-"

    def renew(self, worker: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        return LeaseRenewer(self.sync, self.keys, worker).renew(PARTITION, leases)

    async def clear(self) -> None:
        await self.redis.flushall()
        await self.redis.script_flush()

    async def close(self) -> None:
        """Close both clients; a connection still in use is a leak."""
        in_use = len(self.redis.connection_pool._in_use_connections)
        await self.redis.aclose()
        self.sync.close()
        assert in_use == 0, f"expected no connection in use, got {in_use}"

    # -- time ---------------------------------------------------------------------

    async def begin(self, tick: int) -> None:
        """Wait until the clock is two ms past the last call: none happen at the same instant."""
        now = await self.now()
        self._after = self._after or now - 2
        while now < self._after + 2:
            now = await self.now()
        self.times[tick - 1] = self._after + 1, self._after + 1
        self.times[tick] = now, now

    async def end(self, tick: int) -> None:
        """The call of that tick is answered."""
        self._after = await self.now()
        self.times[tick] = self.times[tick][0], self._after
        assert self._after - min(self.times.values())[0] < GRAIN, "the example takes too long"

    async def now(self) -> int:
        seconds, micros = await self.redis.time()
        return seconds * 1000 + micros // 1000

    def ms(self, at: Instant, clock: int) -> tuple[int, int]:
        """The ms since 1970, from and to, at which that instant is, while it is `clock`."""
        first, last = self.times[at.tick]
        shift = (at.minute - clock) * MINUTE
        return first + shift, last + shift

    async def step(self, minutes: int) -> None:
        """Let time pass: the clock cannot be moved, so all times kept are moved back."""
        back = minutes * MINUTE
        for job, score in await self.redis.zrange(self._key("due"), 0, -1, withscores=True):
            await self.redis.zadd(self._key("due"), {job: score - back})
        for key in await self.redis.keys(self._key("job:*")):
            await self._move_expiry(key, back)
        for key in await self.redis.keys(self._key("ready:*")):
            await self._age_leases(key, back)
        for kind in ("once:*", "gone:*"):
            for key in await self.redis.keys(self._key(kind)):
                # In the past it is deleted.
                await self.redis.pexpire(key, await self.redis.pttl(key) - back)

    async def _move_expiry(self, key: bytes, back: int) -> None:
        header = list(_HEADER.unpack(await self.redis.getrange(key, 0, _HEADER.size - 1)))
        if header[7]:
            header[7] -= back
            await self.redis.setrange(key, 0, _HEADER.pack(*header))

    async def _age_leases(self, lane: bytes, back: int) -> None:
        if not await self.redis.xinfo_groups(lane):
            return
        for lease in await self.redis.xpending_range(lane, GROUP, "-", "+", 10_000):
            idle = lease["time_since_delivered"] + back
            owner, entry = lease["consumer"], lease["message_id"]
            command = ("XCLAIM", lane, GROUP, owner, 0, entry, "IDLE", idle, "JUSTID")
            await call(self.redis, *command)

    # -- what can be seen ---------------------------------------------------------

    async def news(self) -> list[Record]:
        """What was appended since the last look."""
        entries = await self.redis.execute_command("XRANGE", self._key("log"), self._read, "+")
        records = [read_entry(PARTITION, *entry) for entry in entries]
        if records:
            self._read = f"({records[-1].entry}"
        return records

    async def state(self, ids: Sequence[str]) -> State:
        """All there is, of jobs that may live by `ids`."""
        meta = await self.redis.hgetall(self._key("meta"))
        lanes = [int(lane) for lane in meta.get(b"lanes", b"").decode()]
        delivered = {
            lane: meta[name].decode()
            for lane in PRIORITIES
            if (name := f"delivered:{lane}".encode()) in meta
        }
        raws = await self.redis.mget([self.keys.job(PARTITION, id) for id in ids]) if ids else []
        return State(
            jobs={
                id: of_hot(raw, delivered)
                for id, raw in zip(ids, raws, strict=True)
                if raw is not None
            },
            lanes={lane: await self._lane(lane) for lane in lanes},
            due=[job.decode() for job in await self.redis.zrange(self._key("due"), 0, -1)],
            bell=await self.redis.llen(self._key("bell")) == 1,
            seq=int(meta.get(b"seq", 0)),
            archived=int(meta.get(b"archived", 0)),
        )

    async def due(self) -> dict[str, int]:
        """When each job that waits may run, ms since 1970."""
        found = await self.redis.zrange(self._key("due"), 0, -1, withscores=True)
        return {job.decode(): int(score) for job, score in found}

    async def _lane(self, lane: int) -> list[tuple[str, str | None]]:
        stream = self.keys.ready(PARTITION, lane)
        entries = await self.redis.execute_command("XRANGE", stream, "-", "+")
        owners: dict[bytes, str] = {}
        if await self.redis.xinfo_groups(stream):
            pending = await self.redis.xpending_range(stream, GROUP, "-", "+", 10_000)
            owners = {one["message_id"]: one["consumer"].decode() for one in pending}
        return [(fields[1].decode(), owners.get(entry)) for entry, fields in entries]

    def _key(self, name: str) -> str:
        return f"{self.keys.base(PARTITION)}:{name}"
