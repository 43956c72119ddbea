"""The real partition beside the model: its server, its time, and what can be seen of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from millstream.core.connection import call, connect, connect_sync
from millstream.core.events import Record
from millstream.core.hot import _HEADER
from millstream.core.keys import GROUP, Keys
from millstream.core.log import read_entry
from millstream.core.queue import LeaseRenewer, PartitionQueue
from millstream.core.submitting import Scope

from .due import Instant
from .state import State, of_hot

PARTITION = "default"
MINUTE = 60_000
LANES = (0, 5, 9)
"""Priorities that the test uses."""
KEYS = ("a", "b")
FIELDS = ("c", "c:noop", "ck", "ck:noop")
"""Limits that the test sets."""
LOCKS: dict[str, Scope] = {"a1": "waiting", "a2": "unfinished", "a3": "period"}
"""Digests that the test uses, each in one scope."""
GATES = ("c:noop", *(f"{field}|{key}" for field in ("ck", "ck:noop") for key in KEYS))
GRAIN = 50_000
"""An example that takes longer (ms) confuses the minutes of the model with real ones."""


class Sight(NamedTuple):
    """What one look saw: events since the last one, the state, and when each job is due (ms)."""

    news: list[Record]
    state: State
    due: dict[str, int]


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
        for kind in ("once:*", "gone:*", "unique:*"):
            for key in await self.redis.keys(self._key(kind)):
                if (left := await self.redis.pttl(key)) >= 0:
                    await self.redis.pexpire(key, left - back)  # in the past it is deleted

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

    async def look(self, tick: int, ids: Sequence[str]) -> Sight:
        """All there is after the call of that tick, of jobs that may live by `ids`."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.time()
        pipe.execute_command("XRANGE", self._key("log"), self._read, "+")
        pipe.hgetall(self._key("meta"))
        pipe.llen(self._key("bell"))
        pipe.zrange(self._key("due"), 0, -1, withscores=True)
        pipe.mget([self.keys.job(PARTITION, id) for id in ("none", *ids)])
        for lane in LANES:
            stream = self.keys.ready(PARTITION, lane)
            pipe.execute_command("XRANGE", stream, "-", "+")
            pipe.xpending_range(stream, GROUP, "-", "+", 10_000)
        for gate in GATES:
            pipe.smembers(self._key(f"running:{gate}"))
            pipe.zrange(self._key(f"parked:{gate}"), 0, -1)
        pipe.mget([self._key(f"unique:{digest}") for digest in LOCKS])
        time, news, meta, bell, due, raws, *rest, locks = await pipe.execute(raise_on_error=False)
        lanes, gates = rest[: 2 * len(LANES)], rest[2 * len(LANES) :]
        self._end(tick, time)
        return Sight(
            self._records(news),
            State(
                jobs=_jobs(ids, raws[1:], meta),
                lanes=_lanes(meta, lanes),
                due=[job.decode() for job, _ in due],
                bell=bell == 1,
                seq=int(meta.get(b"seq", 0)),
                archived=int(meta.get(b"archived", 0)),
                mode=meta.get(b"mode", b"").decode() or "open",
                passed=_at_gates(gates[::2], set),
                parked=_at_gates(gates[1::2], list),
                locks=_locks(locks),
            ),
            {job.decode(): int(score) for job, score in due},
        )

    def _end(self, tick: int, time: tuple[int, int]) -> None:
        """The call of that tick was answered by then."""
        self._after = time[0] * 1000 + time[1] // 1000
        first, _ = self.times.setdefault(tick, (self._after, self._after))
        self.times[tick] = first, self._after
        assert self._after - min(self.times.values())[0] < GRAIN, "the example takes too long"

    def _records(self, entries: Sequence[Any]) -> list[Record]:
        records = [read_entry(PARTITION, *entry) for entry in entries]
        if records:
            self._read = f"({records[-1].entry}"
        return records

    def _key(self, name: str) -> str:
        return f"{self.keys.base(PARTITION)}:{name}"


def _jobs(ids: Sequence[str], raws: Sequence[bytes | None], meta: dict[bytes, bytes]) -> Any:
    delivered = {
        lane: meta[name].decode()
        for lane in LANES
        if (name := f"delivered:{lane}".encode()) in meta
    }
    found = zip(ids, raws, strict=True)
    return {id: of_hot(raw, delivered) for id, raw in found if raw is not None}


def _at_gates(read: Sequence[Any], kind: Callable[[Any], Any]) -> dict[str, Any]:
    """Gate → the jobs there, of those where there are any."""
    return {
        gate: kind(job.decode() for job in jobs)
        for gate, jobs in zip(GATES, read, strict=True)
        if jobs
    }


def _locks(read: Sequence[bytes | None]) -> dict[str, tuple[str, int]]:
    held = {digest: value for digest, value in zip(LOCKS, read, strict=True) if value}
    parts = {digest: value.decode().split(":") for digest, value in held.items()}
    return {digest: (job, int(seq)) for digest, (job, _, seq) in parts.items()}


def _lanes(meta: dict[bytes, bytes], read: Sequence[Any]) -> dict[int, list[Any]]:
    """Lanes that were made, with the owner of each entry; a lane whose group is lost has none."""
    lanes: dict[int, list[Any]] = {}
    for lane in (int(one) for one in meta.get(b"lanes", b"").decode()):
        entries, pending = read[LANES.index(lane) * 2 : LANES.index(lane) * 2 + 2]
        leases = [] if isinstance(pending, Exception) else pending
        owners = {one["message_id"]: one["consumer"].decode() for one in leases}
        lanes[lane] = [(fields[1].decode(), owners.get(entry)) for entry, fields in entries]
    return lanes
