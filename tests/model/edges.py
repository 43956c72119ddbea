"""What can be seen on a server of jobs that wait for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.hot import _HEADER
from millstream.core.keys import JOINERS
from millstream.core.memory.links import Notice

from .state import DEPENDENT, State, told_of


async def look_at_links(redis: Any, base: str, state: State) -> tuple[dict[str, int], list[Notice]]:
    """Fill in what is known of them; when each was last seen to, and the outbox."""
    pipe = redis.pipeline(transaction=False)
    pipe.zrange(f"{base}dependents", 0, -1, withscores=True)
    pipe.execute_command("XRANGE", f"{base}ended", "-", "+")
    pipe.xpending_range(f"{base}ended", JOINERS, "-", "+", 10_000)
    pipe.keys(f"{base}*:????????-????-*")
    dependents, entries, pending, keys = await pipe.execute(raise_on_error=False)
    given = [] if isinstance(pending, Exception) else pending
    state.given.update(one["message_id"].decode() for one in given)
    outbox = [_notice(entry.decode(), *fields[1::2]) for entry, fields in entries]
    state.told.extend(told_of(outbox))
    state.unsure.update({job.decode(): at == 0 for job, at in dependents})
    await _look_at_sets(redis, base, [key.decode() for key in keys], state)
    return {job.decode(): int(at) for job, at in dependents}, outbox


def _notice(entry: str, ended: bytes, dependents: bytes) -> Notice:
    words = ended.decode().split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return Notice(entry, pairs, dependents.decode().split())


async def _look_at_sets(redis: Any, base: str, keys: Sequence[str], state: State) -> None:
    for kind, found in (("parents", state.parents), ("awaited", state.awaited)):
        for key in (key for key in keys if key.startswith(f"{base}{kind}:")):
            members = await redis.smembers(key)
            found[key.rpartition(":")[2]] = {member.decode() for member in members}
    for key in (key for key in keys if key.startswith(f"{base}early:")):
        told = {job.decode(): end.decode() for job, end in (await redis.hgetall(key)).items()}
        state.early[key.rpartition(":")[2]] = told, await redis.pttl(key) >= 0


def times_held(ids: Sequence[str], raws: Sequence[bytes | None]) -> dict[str, int]:
    """Jobs that wait for others → when each is to run then, of those to which a time was named."""
    held: dict[str, int] = {}
    for id, raw in zip(ids, raws, strict=True):
        if raw is not None and raw[0] == DEPENDENT:
            text = _HEADER.unpack_from(raw)[8].rstrip(b"\0")
            if text.isdigit():
                held[id] = int(text)
    return held
