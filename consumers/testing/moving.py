"""Time passing on a real server.

Its clock cannot be moved, so whatever it keeps that holds a time is moved back instead: due times,
expiries, the age of leases and of notices that were taken, rates, when leases were swept, and how
long commands, locks and ends are remembered.
"""

from __future__ import annotations

from typing import Any

from ...core.connection import call
from ...core.hot import _HEADER
from ...core.keys import GROUP, JOINERS, Keys

MOST_LEASES = 10_000
DEPENDENT = 6


class Mover:
    """Lets time pass for the jobs of partitions. Their schedules, which follow a calendar, stay."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def move(self, partition: str, ms: int) -> None:
        """Let `ms` pass in a partition where nobody works meanwhile."""
        base = self._keys.base(partition)
        for name in ("due", "timers", "dependents"):
            scores = await self._redis.zrange(f"{base}:{name}", 0, -1, withscores=True)
            # 0 in `dependents`: at once, whatever time it is.
            for member, score in [one for one in scores if one[1] > 0]:
                await self._redis.zadd(f"{base}:{name}", {member: score - ms})
        for raw in await self._redis.keys(f"{base}:*"):
            key = raw.decode()
            await self._move(key, key[len(base) + 1 :].partition(":")[0], ms)

    async def _move(self, key: str, kind: str, ms: int) -> None:
        match kind:
            case "job":
                await self._move_header(key, ms)
            case "ready":
                await self._age(key, GROUP, ms)
            case "ended":
                await self._age(key, JOINERS, ms)
            case "rate":
                on_time = int(await self._redis.get(key)) - ms * 1000
                await self._redis.set(key, max(on_time, 0), keepttl=True)
            case "meta":
                for field in ("swept", "quiet"):
                    if (at := await self._redis.hget(key, field)) is not None:
                        await self._redis.hset(key, field, int(at) - ms)
            case "once" | "gone" | "unique" | "early":
                if (left := await self._redis.pttl(key)) >= 0:
                    await self._redis.pexpire(key, left - ms)  # in the past it is deleted
            case _:
                pass

    async def _move_header(self, key: str, ms: int) -> None:
        """When a job expires, and when one that waits for others is to run."""
        header = list(_HEADER.unpack(await self._redis.getrange(key, 0, _HEADER.size - 1)))
        moved = header.copy()
        held = header[8].rstrip(b"\0")
        if header[0] == DEPENDENT and held.isdigit():
            moved[8] = b"%d" % max(int(held) - ms, 1)
        if header[7]:
            moved[7] -= ms
        if moved != header:
            await self._redis.setrange(key, 0, _HEADER.pack(*moved))

    async def _age(self, stream: str, group: str, ms: int) -> None:
        """What was given of a stream was given so much earlier."""
        if not await self._redis.xinfo_groups(stream):
            return
        for taken in await self._redis.xpending_range(stream, group, "-", "+", MOST_LEASES):
            idle = taken["time_since_delivered"] + ms
            owner, entry = taken["consumer"], taken["message_id"]
            command = ("XCLAIM", stream, group, owner, 0, entry, "IDLE", idle, "JUSTID")
            await call(self._redis, *command)
