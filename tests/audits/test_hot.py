"""Each way hot state can differ from its events is tried once, and must be found by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.core.verbs.mill import Mill
from tests.invariants import check

from .broken import found


def _of(mill: Mill, state: str) -> Callable[[], Awaitable[str]]:
    async def job() -> str:
        report = await check(mill.url, ["default"])
        return next(id for id, one in report.jobs.items() if one.state.value == state)

    return job


Damage = Callable[[Mill], Awaitable[Any]]


async def _set_header(mill: Mill, at: int, byte: int) -> None:
    key = mill.keys.job("default", await _of(mill, "queued")())
    await mill.redis.setrange(key, at, bytes([byte]))


HOT: dict[str, tuple[Damage, set[str]]] = {
    "hot state lost": (
        lambda m: _on_queued(m, lambda job: m.redis.delete(m.keys.job("default", job))),
        {"hot-missing"},
    ),
    "hot state of nobody": (
        lambda m: m.redis.set(m.keys.job("default", "ghost"), b"x" * 60),
        {"hot-orphan"},
    ),
    "another state": (lambda m: _set_header(m, 0, 1), {"hot-differs"}),
    "another priority": (lambda m: _set_header(m, 1, 7), {"hot-differs", "ready-missing"}),
    "a flag": (lambda m: _set_header(m, 2, 1), {"hot-differs"}),
    "crashes": (lambda m: _set_header(m, 4, 9), {"hot-differs"}),
    "attempts": (lambda m: _set_header(m, 8, 9), {"hot-differs"}),
    "version": (lambda m: _set_header(m, 12, 9), {"hot-differs"}),
    "its entry": (lambda m: _set_header(m, 25, 57), {"ready-missing"}),
    "its spec": (lambda m: _set_header(m, 60, 57), {"hot-differs"}),
    "entries lost": (
        lambda m: m.redis.xtrim(m.keys.ready("default", 5), maxlen=0),
        {"ready-missing"},
    ),
    "an entry of nobody": (
        lambda m: m.redis.xadd(m.keys.ready("default", 5), {"job": "ghost"}),
        {"ready-orphan"},
    ),
    "due times lost": (lambda m: m.redis.delete(m.keys.due("default")), {"due-missing"}),
    "a due time of nobody": (
        lambda m: m.redis.zadd(m.keys.due("default"), {"ghost": 5}),
        {"due-orphan"},
    ),
    "due too soon": (
        lambda m: _on_scheduled(m, lambda job: m.redis.zadd(m.keys.due("default"), {job: 5})),
        {"due-differs"},
    ),
    "the group lost": (lambda m: m.lose_group(), {"group-missing", "lease-missing"}),
    "a lease without its event": (
        lambda m: m.redis.xreadgroup("workers", "w9", {m.keys.ready("default", 5): ">"}),
        {"lease-orphan"},
    ),
    "two bell tokens": (
        lambda m: m.redis.rpush(m.keys.bell("default"), b"1", b"1"),
        {"bell-too-long"},
    ),
    "a lock of nobody": (
        lambda m: m.redis.set("{ms:default}:unique:0f", "ghost:1:1"),
        {"lock-orphan"},
    ),
    "steps of nobody": (
        lambda m: m.redis.hset("{ms:default}:steps:ghost", "charge", b"{}"),
        {"steps-orphan"},
    ),
    "a step without its event": (
        lambda m: _on_queued(m, lambda job: m.redis.hset(m.keys.steps("default", job), "a", b"{}")),
        {"steps-differ"},
    ),
    "steps that are not told": (lambda m: _set_header(m, 2, 8), {"steps-flag"}),
    "a key of nobody": (lambda m: m.redis.set("{ms:default}:stray:7", 1), {"stray-key"}),
    "the head ahead": (
        lambda m: m.redis.hincrby(m.keys.meta("default"), "seq", 1),
        {"head-differs"},
    ),
    "archived ahead of the log": (
        lambda m: m.redis.hset(m.keys.meta("default"), "archived", 999),
        {"archived-ahead"},
    ),
}


async def _on_queued(mill: Mill, damage: Callable[[str], Awaitable[Any]]) -> None:
    await damage(await _of(mill, "queued")())


async def _on_scheduled(mill: Mill, damage: Callable[[str], Awaitable[Any]]) -> None:
    await damage(await _of(mill, "scheduled")())


@pytest.mark.parametrize("what", sorted(HOT))
async def test_broken_hot_state_is_found(mill: Mill, what: str) -> None:
    damage, names = HOT[what]
    await damage(mill)
    assert await found(mill) == names


async def test_an_entry_twice_is_found(mill: Mill) -> None:
    job = await _of(mill, "queued")()
    await mill.redis.xadd(mill.keys.ready("default", 5), {"job": job})
    assert await found(mill) == {"ready-twice", "ready-missing"}
