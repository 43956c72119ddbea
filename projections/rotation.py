"""Changing the operator's secret: the keys of all subjects are wrapped anew.

What is encrypted stays as it is: only the wrapping of its keys changes. Errors: Unavailable.
"""

from typing import NamedTuple

import asyncpg

from ..core.encryption import NAMES, Secrets, Undecryptable
from ..core.subjects import SubjectKeys, Wrapped
from . import subject_keys

PAGE = 1000


class Rotated(NamedTuple):
    """Keys there are, those of them that were wrapped anew, and those that neither secret opens."""

    keys: int = 0
    rewrapped: int = 0
    unreadable: int = 0


async def rotate(pool: asyncpg.Pool, redis: SubjectKeys, secrets: Secrets) -> Rotated:
    """Wrap all keys by the current secret. Broken off, it is done again, and does the rest.

    Nothing where neither secret opens some of the first keys."""
    first = [key for key in await subject_keys.live(pool, "", PAGE) if key.id != NAMES]
    unreadable = sum(not _opens(secrets, key) for key in first)
    if unreadable:  # a wrong secret: nothing is to be named by it
        return Rotated(len(first), 0, unreadable)
    # Before the keys, since it tells all who make keys by which secret to wrap them from now on.
    await subject_keys.keep_names(pool, secrets.names())
    kept = (await subject_keys.by_id(pool, [NAMES]))[NAMES]
    assert kept.wrapped is not None
    await _rewrap(pool, redis, secrets, [Wrapped(NAMES, NAMES, kept.wrapped)])
    told, after = Rotated(), ""
    while page := await subject_keys.live(pool, after, PAGE):
        after = page[-1].id
        keys = [key for key in page if key.id != NAMES]
        done, unreadable = await _rewrap(pool, redis, secrets, keys)
        told = Rotated(told.keys + len(keys), told.rewrapped + done, told.unreadable + unreadable)
    return told


def _opens(secrets: Secrets, key: Wrapped) -> bool:
    try:
        secrets.unwrap(key.id, key.wrapped)
    except Undecryptable:
        return False
    return True


async def _rewrap(
    pool: asyncpg.Pool, redis: SubjectKeys, secrets: Secrets, keys: list[Wrapped]
) -> tuple[int, int]:
    """Wrap some keys anew where that is needed; how many were, and how many could not be."""
    stored: list[tuple[str, bytes, bytes]] = []
    told: list[Wrapped] = []
    for key in keys:
        try:
            wrapped = secrets.rewrapped(key.id, key.wrapped)
        except Undecryptable:
            continue
        told.append(key._replace(wrapped=wrapped))
        if wrapped != key.wrapped:
            stored.append((key.id, key.wrapped, wrapped))
    done = await subject_keys.rewrap(pool, stored)
    if told:
        await redis.rewrap(told)
    return done, len(keys) - len(told)
