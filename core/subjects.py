"""The keys of subjects as workers and the API find them in Redis.

PostgreSQL has them for good; Redis has what is needed to encrypt and open without asking it. A key
that is not here was erased, or Redis has forgotten it: only an erased one leaves a mark.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from redis.exceptions import WatchError

from .connection import translated
from .keys import Keys

ERASED = b""
"""What stands in the place of an erased key."""

Absent = Literal["erased", "unknown"]


class Wrapped(NamedTuple):
    """A key as it is kept: of which subject (its digest), its id, itself wrapped."""

    subject: str
    id: str
    wrapped: bytes


class SubjectKeys:
    """Errors: Unavailable."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def of(self, subjects: Collection[str]) -> dict[str, Wrapped]:
        """The keys of those subjects (digests) that have one here."""
        names = list(subjects)
        with translated():
            ids = await self._redis.hmget(self._keys.subjects, names)
        known = {name: id.decode() for name, id in zip(names, ids, strict=True) if id}
        found = await self.get(known.values())
        return {
            name: Wrapped(name, id, wrapped)
            for name, id in known.items()
            if isinstance(wrapped := found[id], bytes)
        }

    async def get(self, ids: Collection[str]) -> Mapping[str, bytes | Absent]:
        """Keys by id, wrapped, or why there is none."""
        names = list(ids)
        if not names:
            return {}
        with translated():
            found = await self._redis.hmget(self._keys.subject_keys, names)
        return {name: _told(one) for name, one in zip(names, found, strict=True)}

    async def publish(self, keys: Collection[Wrapped]) -> None:
        """Let all have these keys, unless they were erased meanwhile."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hsetnx(self._keys.subject_keys, key.id, key.wrapped)
            pipeline.hset(self._keys.subjects, key.subject, key.id)
        with translated():
            await pipeline.execute()

    async def rewrap(self, keys: Collection[Wrapped]) -> None:
        """Put keys wrapped anew in the place of those that are here, but not of erased ones."""
        while True:
            try:
                return await self._replace(keys)
            except WatchError:  # somebody made or erased a key meanwhile
                continue

    async def _replace(self, keys: Collection[Wrapped]) -> None:
        name = self._keys.subject_keys
        with translated():
            async with self._redis.pipeline(transaction=True) as pipeline:
                await pipeline.watch(name)
                found = await pipeline.hmget(name, [key.id for key in keys])
                pipeline.multi()
                for key, old in zip(keys, found, strict=True):
                    if old:
                        pipeline.hset(name, key.id, key.wrapped)
                await pipeline.execute()

    async def erase(self, subject: str, ids: Collection[str]) -> None:
        """Put the mark of erasure in the place of keys."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hdel(self._keys.subjects, subject)
        for id in ids:
            pipeline.hset(self._keys.subject_keys, id, ERASED)
        with translated():
            await pipeline.execute()

    async def mark_erased(self, ids: Collection[str]) -> None:
        """Put the mark of erasure in the place of keys whose subjects nobody knows any more."""
        with translated():
            await self._redis.hset(self._keys.subject_keys, mapping=dict.fromkeys(ids, ERASED))

    async def forget_erased(self) -> None:
        """Take away subjects whose keys are erased, wherever one was left behind."""
        cursor = 0
        while True:
            with translated():
                cursor, page = await self._redis.hscan(self._keys.subjects, cursor, count=1000)
            named = {subject: id.decode() for subject, id in page.items()}
            found = await self.get(named.values())
            gone = [subject for subject, id in named.items() if found[id] == "erased"]
            if gone:
                with translated():
                    await self._redis.hdel(self._keys.subjects, *gone)
            if not cursor:
                return


def _told(found: bytes | None) -> bytes | Absent:
    if found is None:
        return "unknown"
    return "erased" if found == ERASED else found
