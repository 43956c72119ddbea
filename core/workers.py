"""Who works: what each worker process says of itself every few seconds, and who fell silent.

A report is one key with a time to live, so that no clock but Redis's counts: how much of it is left
tells how old the report is. A worker that leaves in good order takes its report along; one that
died, was cut off, or whose event loop is blocked leaves it behind, and is shown as silent.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from .connection import call, translated
from .keys import Keys
from .notes import note

REPORT_EVERY = 2.0
"""Seconds between two reports."""

SILENT_AFTER = 10.0
"""Seconds without a report after which a worker is silent."""

STALLED_AFTER = 30.0
"""Seconds a worker with free slots may go without looking for jobs, or its loop be blocked."""

KEPT = 86400.0
"""Seconds for which the last report of a worker that fell silent is kept."""

_KEPT_MS = round(KEPT * 1000)

MOST_JOBS = 100
"""Most running jobs that a report names."""

Condition = Literal["serving", "draining", "stalled", "silent"]


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker says of itself.

    version     of the code it runs, as its operator calls it
    started_at  ms since 1970 by its own clock: for people, nothing is computed from it
    running     jobs in hand; `jobs`: the first of them
    loop_lag    seconds its event loop was late at worst since the report before
    idle_for    seconds since it last looked for jobs, 0 while all its slots are taken
    blocked_for seconds its event loop has been blocked by now: a thread tells this in its stead
    memory      bytes of its process that are in memory; 0: not known
    takes       digest of the shapes of the payloads it takes; empty: it tells none
    """

    name: str
    host: str
    pid: int
    started_at: int
    queues: list[str]
    types: list[str]
    concurrency: int
    version: str = ""
    running: int = 0
    jobs: list[str] = []
    loop_lag: float = 0.0
    idle_for: float = 0.0
    blocked_for: float = 0.0
    memory: int = 0
    draining: bool = False
    takes: str = ""


class Seen(NamedTuple):
    """A worker and its last report, `age` seconds old."""

    report: Report
    age: float

    @property
    def condition(self) -> Condition:
        """How it does, as far as its last report and the silence since tell."""
        if self.age > SILENT_AFTER:
            return "silent"
        if self.report.draining:
            return "draining"
        hung = max(self.report.idle_for, self.report.blocked_for)
        return "stalled" if hung > STALLED_AFTER else "serving"


class Workers:
    """The reports of all workers of a namespace. Errors: Unavailable."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def report(self, report: Report, takes: bytes = b"") -> float:
        """Say how a worker does; how many seconds ago it last did, KEPT if that is not known.

        `takes`: what `report.takes` is the digest of. It is kept for as long as the report.
        """
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.pttl(self._keys.worker(report.name))
        if takes:
            pipeline.pexpire(self._keys.takes(report.takes), _KEPT_MS)
        _put(pipeline, self._keys, report)
        with translated():
            left, *replies = await pipeline.execute()
            if takes and replies[0] == 0:
                key = self._keys.takes(report.takes)
                await call(self._redis, *note("SET", key, takes, "PX", _KEPT_MS))
        return KEPT - max(0.0, left / 1000)

    async def takes(self, digests: Collection[str]) -> dict[str, bytes]:
        """What workers said they take, by its digest; without what is not there."""
        wanted = list(digests)
        if not wanted:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for digest in wanted:
            pipeline.get(self._keys.takes(digest))
        with translated():
            replies = await pipeline.execute()
        return {one: text for one, text in zip(wanted, replies, strict=True) if text is not None}

    async def present(self) -> set[str]:
        """The workers that are not silent."""
        with translated():
            names = [name.decode() for name in await self._redis.smembers(self._keys.workers)]
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.pttl(self._keys.worker(name))
            replies = await pipeline.execute()
        return {
            name
            for name, left in zip(names, replies, strict=True)
            if KEPT - left / 1000 <= SILENT_AFTER
        }

    async def leave(self, name: str) -> None:
        """Take a worker's report away."""
        await self._forget([name])

    async def all(self) -> list[Seen]:
        """All workers that said something within `KEPT`, by name."""
        with translated():
            names = sorted(name.decode() for name in await self._redis.smembers(self._keys.workers))
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.get(self._keys.worker(name)).pttl(self._keys.worker(name))
            replies = await pipeline.execute()
        found: list[Seen] = []
        gone: list[str] = []
        for name, body, left in zip(names, replies[::2], replies[1::2], strict=True):
            report = None if body is None else _read(body)
            if report is not None:
                found.append(Seen(report, max(0.0, KEPT - left / 1000)))
            elif body is None:
                gone.append(name)
        if gone:
            await self._forget(gone)
        return found

    async def _forget(self, names: Sequence[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.srem(self._keys.workers, *names)
        pipeline.unlink(*map(self._keys.worker, names))
        with translated():
            await pipeline.execute()


def report_from_thread(redis: Any, keys: Keys, report: Report) -> None:
    """Say how a worker does, over a client for threads. Raises Unavailable."""
    pipeline = redis.pipeline(transaction=False)
    _put(pipeline, keys, report)
    with translated():
        pipeline.execute()


def _put(pipeline: Any, keys: Keys, report: Report) -> None:
    body = msgspec.json.encode(report)
    pipeline.execute_command(*note("SET", keys.worker(report.name), body, "PX", _KEPT_MS))
    pipeline.execute_command(*note("SADD", keys.workers, report.name))


def _read(body: bytes) -> Report | None:
    """A report; None if a later release wrote it in a form not known here."""
    try:
        return msgspec.json.decode(body, type=Report)
    except msgspec.MsgspecError:
        return None
