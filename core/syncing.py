"""Whether what Redis has written is on its disk: told from what it says of its append-only file.

Not by WAITAOF: with `appendfsync everysec` Redis 7.4 and Valkey up to 9.1 answer it before anything
was synced (redis/redis#13793; met here by cutting power), Redis 7.0 does not know it, and nothing
but a crash tells a server that lies from one that does not.

With `everysec` a server syncs in the background whenever it wakes up, has written something, no
sync is under way and the last one began a second ago. So a second after a write, a server that has
nothing left to write and no sync under way begins one as soon as it has answered, if there was none
since the write; when that is over the write is on the disk. It is asked twice.
"""

import asyncio
from typing import Any, NamedTuple

from .connection import Ask
from .errors import LevelRefused, Unconfirmed

SYNC_EVERY = 1.1
"""Seconds after which a sync was begun, or begins with the next answer: one, and a margin."""

LOOK_EVERY = 0.02


class File(NamedTuple):
    """What a server says of its file.

    policy    of syncing; None: it does not say
    settled   nothing is left to write, no sync is under way
    healthy   its last write and its last sync succeeded
    turns     how often the file was made anew
    hindered  a child process runs, during which it is set not to sync
    """

    enabled: bool
    policy: str | None
    settled: bool
    healthy: bool
    turns: str
    hindered: bool


async def check_syncs(ask: Ask) -> File:
    """Raises LevelRefused if the server syncs nothing, or does not say whether it does."""
    found = await _look(ask)
    if not found.enabled:
        raise LevelRefused("fsync", "Redis writes no append-only file (appendonly is no)")
    if found.policy is None:
        raise LevelRefused("fsync", "Redis does not tell its appendfsync: CONFIG is forbidden")
    if found.policy == "no":
        raise LevelRefused("fsync", "Redis never syncs its file itself (appendfsync is no)")
    if not found.healthy:
        raise LevelRefused("fsync", "Redis fails to write or sync its file", lasting=False)
    return found


async def until_synced(ask: Ask, timeout: float) -> None:
    """Wait until what was written before is on the disk. Raises Unconfirmed."""
    try:
        async with asyncio.timeout(timeout):
            await _until_synced(ask)
    except TimeoutError:
        raise Unconfirmed(f"expected it on the disk within {timeout:g} s") from None
    except LevelRefused as error:
        raise Unconfirmed(f"Redis was set otherwise meanwhile: {error.missing}") from error


async def _until_synced(ask: Ask) -> None:
    found = await check_syncs(ask)
    if found.policy == "always":
        return  # such a server answers nothing before it is on the disk
    turns, settled = found.turns, 0
    await asyncio.sleep(SYNC_EVERY)
    while settled < 2:
        found = await check_syncs(ask)
        if found.turns != turns:
            # What was written to the old file is synced aside, unseen: another second will do.
            turns, settled = found.turns, 0
            await asyncio.sleep(SYNC_EVERY)
        elif found.hindered:
            settled = 0
        elif found.settled:
            settled += 1
        await asyncio.sleep(LOOK_EVERY)


async def _look(ask: Ask) -> File:
    info, *settings = await ask(
        ("INFO", "persistence"),
        ("CONFIG", "GET", "appendfsync"),
        ("CONFIG", "GET", "no-appendfsync-on-rewrite"),
    )
    lines = (line.partition(":") for line in info.decode().splitlines() if ":" in line)
    told = {name: value for name, _, value in lines}
    policy, pausing = (found[1].decode() if _is_told(found) else None for found in settings)
    children = told.get("aof_rewrite_in_progress"), told.get("rdb_bgsave_in_progress")
    return File(
        enabled=told.get("aof_enabled") == "1",
        policy=policy,
        settled=told.get("aof_buffer_length") == told.get("aof_pending_bio_fsync") == "0",
        healthy=told.get("aof_last_write_status") == "ok",
        turns=f"{told.get('aof_rewrites')} {told.get('aof_base_size')} {children[0]}",
        hindered=pausing != "no" and "1" in children,
    )


def _is_told(setting: Any) -> bool:
    return isinstance(setting, list) and bool(setting)  # an error: CONFIG is forbidden
