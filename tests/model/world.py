"""The real partition beside that in memory: its server, its time, and what can be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from millstream.consumers.testing.moving import Mover
from millstream.core.connection import connect, connect_sync
from millstream.core.events import Record
from millstream.core.keys import GROUP, JOINERS, Keys
from millstream.core.log import read_entry
from millstream.core.memory.links import Notice
from millstream.core.queue import PartitionQueue
from millstream.core.renewing import LeaseRenewer

from .edges import look_at_links, times_held
from .state import Hot, State, of_hot, of_plan

PARTITION = "default"
MINUTE = 60_000
LANES = (0, 5, 9)
"""Priorities that the test uses."""
KINDS = "noop", "other"
LIMIT_KEYS = "a", "b"
GATES = (
    *(f"{per}|{key}" for per in ("ck", "rk") for key in LIMIT_KEYS),
    *(f"{per}:{kind}|{key}" for per in ("ck", "rk") for key in LIMIT_KEYS for kind in KINDS),
    *(f"{one}:{kind}" for one in ("c", "r") for kind in KINDS),
)
"""All gates that the limits of a test can make."""
PLANS = "s1", "s2"
"""Schedules that a test makes."""
DIGESTS = "a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"
"""Locks that a test asks for."""
GRAIN = 50_000
"""An example that takes longer (ms) confuses the minutes of the memory with real ones."""


class Sight(NamedTuple):
    """What one look saw: events since the last one, the state, and what is due when."""

    news: list[Record]
    state: State
    due: dict[str, int]
    timers: dict[str, int]
    plans: dict[str, int]
    seen: dict[str, int]
    holds: dict[str, int]
    outbox: list[Notice]


class World:
    """A server's partition, and which of its ms each of the memory's was, within a minute."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = Keys()
        self.redis: Any = connect(url, timeout=30)
        self.sync: Any = connect_sync(url, timeout=30)
        self.queue = PartitionQueue(self.redis, PARTITION, self.keys)
        self.times: dict[int, tuple[int, int]] = {}
        self.gap = 2
        self._after = 0
        self._read = "-"

    def renew(self, worker: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        return LeaseRenewer(self.sync, self.keys, worker).renew(PARTITION, leases)

    def renew_all(self, worker: str) -> None:
        LeaseRenewer(self.sync, self.keys, worker).renew_all(PARTITION)

    async def clear(self) -> None:
        await self.redis.flushall()
        await self.redis.script_flush()

    async def close(self) -> None:
        """Close both clients; a connection still in use is a leak."""
        in_use = len(self.redis.connection_pool._in_use_connections)
        await self.redis.aclose()
        self.sync.close()
        assert in_use == 0, f"expected no connection in use, got {in_use}"

    async def lose_joiners(self) -> None:
        """Lose the group of the outbox."""
        if await self.redis.exists(self._key("ended")):
            await self.redis.xgroup_destroy(self._key("ended"), JOINERS)

    # -- time ---------------------------------------------------------------------

    async def begin(self, at: int) -> None:
        """A call comes that is at that time of the memory.

        Wait until the clock is two ms (`gap`) past the last call: none are at one instant."""
        now = await self.now()
        self._after = self._after or now - self.gap
        while now < self._after + self.gap:
            now = await self.now()
        self.times[at % MINUTE - 1] = self._after + 1, self._after + 1
        self.times[at % MINUTE] = now, now

    async def now(self) -> int:
        seconds, micros = await self.redis.time()
        return seconds * 1000 + micros // 1000

    def ms(self, at: int, now: int) -> tuple[int, int]:
        """The server's ms, from and to, at which that time of the memory is; now it is `now`."""
        first, last = self.times[at % MINUTE]
        shift = (at // MINUTE - now // MINUTE) * MINUTE
        return first + shift, last + shift

    async def step(self, minutes: int) -> None:
        """Let time pass: the clock cannot be moved, so all times kept are moved back."""
        await Mover(self.redis, self.keys).move(PARTITION, minutes * MINUTE)
        for name in PLANS:
            key = self.keys.schedule(PARTITION, name)
            for field in ("next", "due"):
                if at := await self.redis.hget(key, field):
                    await self.redis.hset(key, field, int(at) - minutes * MINUTE)
            if await self.redis.zscore(self._key("schedule_due"), name) is not None:
                await self.redis.zincrby(self._key("schedule_due"), -minutes * MINUTE, name)

    # -- what can be seen ---------------------------------------------------------

    async def look(self, at: int, ids: Sequence[str]) -> Sight:
        """All there is after the call at that time of the memory, of jobs that may live: `ids`."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.time()
        pipe.execute_command("XRANGE", self._key("log"), self._read, "+")
        pipe.hgetall(self._key("meta"))
        pipe.llen(self._key("bell"))
        pipe.zrange(self._key("due"), 0, -1, withscores=True)
        pipe.mget([self.keys.job(PARTITION, id) for id in ("none", *ids)])
        pipe.mget([self._key(f"unique:{digest}") for digest in DIGESTS])
        pipe.hgetall(self._key("limits"))
        pipe.zrange(self._key("schedule_due"), 0, -1, withscores=True)
        for lane in LANES:
            stream = self.keys.ready(PARTITION, lane)
            pipe.execute_command("XRANGE", stream, "-", "+")
            pipe.xpending_range(stream, GROUP, "-", "+", 10_000)
        time, news, meta, bell, due, raws, held, limits, planned, *lanes = await pipe.execute(
            raise_on_error=False
        )
        self._end(at % MINUTE, time)
        jobs = _jobs(ids, raws[1:], meta)
        state = State(
            jobs=jobs,
            lanes=_lanes(meta, lanes),
            due=[job.decode() for job, _ in due],
            bell=bell == 1,
            seq=int(meta.get(b"seq", 0)),
            archived=int(meta.get(b"archived", 0)),
            mode=meta.get(b"mode", b"").decode() or "open",
            limits={name.decode(): bound.decode() for name, bound in limits.items()},
            locks=await self._locks(held),
            plans=await self._plans(),
            steps=await self._steps([id for id, job in jobs.items() if job.stepped]),
        )
        timers = await self._look_at_gates(state) if limits else {}
        seen, outbox = await look_at_links(self.redis, self._key(""), state)
        return Sight(
            self._records(news),
            state,
            _scores(due),
            timers,
            _scores(planned),
            seen,
            times_held(ids, raws[1:]),
            outbox,
        )

    async def _plans(self) -> dict[str, dict[str, Any]]:
        pipe = self.redis.pipeline(transaction=False)
        for name in PLANS:
            pipe.hgetall(self.keys.schedule(PARTITION, name))
        found = zip(PLANS, await pipe.execute(), strict=True)
        return {
            name: of_plan({key.decode(): value for key, value in fields.items()})
            for name, fields in found
            if fields
        }

    async def _steps(self, ids: Sequence[str]) -> dict[str, dict[str, bytes]]:
        found = [await self.redis.hgetall(self.keys.steps(PARTITION, id)) for id in ids]
        return {
            id: {name.decode(): body for name, body in steps.items()}
            for id, steps in zip(ids, found, strict=True)
        }

    async def _locks(self, held: Sequence[bytes | None]) -> dict[str, tuple[str, int, bool]]:
        locks: dict[str, tuple[str, int, bool]] = {}
        for digest, value in zip(DIGESTS, held, strict=True):
            if value is not None:
                id, _, seq = value.decode().split(":")
                ends = await self.redis.pttl(self._key(f"unique:{digest}")) >= 0
                locks[digest] = id, int(seq), ends
        return locks

    async def _look_at_gates(self, state: State) -> dict[str, int]:
        """Fill in what is known of gates; when rates are looked at again."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.zrange(self._key("timers"), 0, -1, withscores=True)
        pipe.hgetall(self._key("blocked"))
        pipe.smembers(self._key("gates"))
        for gate in GATES:
            pipe.smembers(self._key(f"running:{gate}"))
            pipe.zrange(self._key(f"parked:{gate}"), 0, -1)
        timers, blocked, crowded, *found = await pipe.execute()
        for gate, holders, waiting in zip(GATES, found[::2], found[1::2], strict=True):
            if holders:
                state.holders[gate] = {job.decode() for job in holders}
            if waiting:
                state.waiting[gate] = [job.decode() for job in waiting]
        state.blocked.update({job.decode(): name.decode() for job, name in blocked.items()})
        state.timers.extend(name.decode() for name, _ in timers)
        names = {name.decode() for name in crowded}
        assert names == state.waiting.keys(), f"gates: expected {state.waiting}, got {names}"
        return _scores(timers)

    def _end(self, tick: int, time: tuple[int, int]) -> None:
        """The call at that ms of a minute was answered by then."""
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


def _scores(members: Sequence[tuple[bytes, float]]) -> dict[str, int]:
    return {name.decode(): int(score) for name, score in members}


def _jobs(
    ids: Sequence[str], raws: Sequence[bytes | None], meta: dict[bytes, bytes]
) -> dict[str, Hot]:
    delivered = {
        lane: meta[name].decode()
        for lane in LANES
        if (name := f"delivered:{lane}".encode()) in meta
    }
    found = zip(ids, raws, strict=True)
    return {id: of_hot(raw, delivered) for id, raw in found if raw is not None}


def _lanes(meta: dict[bytes, bytes], read: Sequence[Any]) -> dict[int, list[Any]]:
    """Lanes that were made, with the owner of each entry; a lane whose group is lost has none."""
    lanes: dict[int, list[Any]] = {}
    for lane in (int(one) for one in meta.get(b"lanes", b"").decode()):
        entries, pending = read[LANES.index(lane) * 2 : LANES.index(lane) * 2 + 2]
        leases = [] if isinstance(pending, Exception) else pending
        owners = {one["message_id"]: one["consumer"].decode() for one in leases}
        lanes[lane] = [(fields[1].decode(), owners.get(entry)) for entry, fields in entries]
    return lanes
