"""Time passing on a real server.

Its clock cannot be moved, so whatever it keeps that holds a time is moved back instead: due times,
expiries, the age of leases, rates, and how long commands, locks and ends are remembered.
"""

from __future__ import annotations

from typing import Any

from ...core.connection import call
from ...core.hot import _HEADER
from ...core.keys import GROUP, Keys

MOST_LEASES = 10_000


class Mover:
    """Lets time pass for the jobs of partitions. Their schedules, which follow a calendar, stay."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def move(self, partition: str, ms: int) -> None:
        """Let `ms` pass in a partition where nobody works meanwhile."""
        base = self._keys.base(partition)
        for name in ("due", "timers"):
            scores = await self._redis.zrange(f"{base}:{name}", 0, -1, withscores=True)
            for member, score in scores:
                await self._redis.zadd(f"{base}:{name}", {member: score - ms})
        for raw in await self._redis.keys(f"{base}:*"):
            key = raw.decode()
            await self._move(key, key[len(base) + 1 :].partition(":")[0], ms)

    async def _move(self, key: str, kind: str, ms: int) -> None:
        match kind:
            case "job":
                await self._move_expiry(key, ms)
            case "ready":
                await self._age_leases(key, ms)
            case "rate":
                on_time = int(await self._redis.get(key)) - ms * 1000
                await self._redis.set(key, max(on_time, 0), keepttl=True)
            case "once" | "gone" | "unique":
                if (left := await self._redis.pttl(key)) >= 0:
                    await self._redis.pexpire(key, left - ms)  # in the past it is deleted
            case _:
                pass

    async def _move_expiry(self, key: str, ms: int) -> None:
        header = list(_HEADER.unpack(await self._redis.getrange(key, 0, _HEADER.size - 1)))
        if header[7]:
            header[7] -= ms
            await self._redis.setrange(key, 0, _HEADER.pack(*header))

    async def _age_leases(self, lane: str, ms: int) -> None:
        if not await self._redis.xinfo_groups(lane):
            return
        for lease in await self._redis.xpending_range(lane, GROUP, "-", "+", MOST_LEASES):
            idle = lease["time_since_delivered"] + ms
            owner, entry = lease["consumer"], lease["message_id"]
            command = ("XCLAIM", lane, GROUP, owner, 0, entry, "IDLE", idle, "JUSTID")
            await call(self._redis, *command)
