"""Verbs in any order, an archive that ends at any event of that, and nothing left but the archive:
audits find nothing in what is restored, whatever workers of before still say, and it is drained."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.joining import Joiner
from millstream.core.queue import Directory
from millstream.projections import linker
from millstream.projections.restore.imports import Importer
from tests.core.verbs.mill import Mill, verdict_on
from tests.core.verbs.test_any_order import VERDICTS, Play, _drain, steps
from tests.invariants import check
from tests.projections.stage import projecting, until

from .lost import restored

_numbers = itertools.count()


@contextmanager
def database(server: Postgres, template: str) -> Generator[str]:
    """One for each example: what is archived stays."""
    server.start()
    name = f"lost_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.dsn_of(name)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@how(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=5, max_size=40), st.floats(0, 1))
async def test_whatever_was_archived_is_brought_back(
    redis_url: str,
    postgres_server: Postgres,
    migrated_template: str,
    soon: None,
    monkeypatch: pytest.MonkeyPatch,
    script: list[tuple[Any, ...]],
    share: float,
) -> None:
    monkeypatch.setattr(linker, "SWEEP", 3600.0)  # it would write on while that is audited
    mill = Mill(redis_url)
    await mill.redis.flushdb()
    await mill.redis.sadd(mill.keys.queues, "default")
    play = Play(mill)
    try:
        for one in script:
            await play.do(one)
        records = await mill.log()
        kept = records[: max(1, round(len(records) * share))]
        if not kept:
            return
        with database(postgres_server, migrated_template) as dsn:
            await _lose_and_drain(play, kept, Settings(redis_url=redis_url, postgres_dsn=dsn))
    finally:
        await mill.redis.aclose()


async def _lose_and_drain(play: Play, kept: list[Any], settings: Settings) -> None:
    mill = play.mill
    importer = Importer(settings.postgres_dsn)
    await importer.take(kept)
    importer.close()
    await mill.redis.flushdb()
    await mill.redis.sadd(mill.keys.queues, "default")
    connection: Any = await asyncpg.connect(settings.postgres_dsn)
    try:
        live = {row[0] for row in await connection.fetch(_LIVE)}
        report = await restored(settings)
        assert report.jobs.unreadable == {}
        hot = {key.decode()[-36:] async for key in mill.redis.scan_iter(match="*:job:*")}
        assert hot == live - set(report.jobs.ended)
        late = [verdict_on(lease, kind) for lease in play.leases for kind in VERDICTS]
        assert not any(await mill.queue.finish(late)), "leases of before are good for nothing"
        async with projecting(settings):
            await _require_sound(play, connection, settings, live)
            await Joiner(Directory(mill.redis, mill.keys)).deliver("default")
            await _require_sound(play, connection, settings, live)
            mill.accepted[:] = [row[0] for row in await connection.fetch(_ALL)]
            await _drain(play)
            await _require_sound(play, connection, settings, live, drained=True)
    finally:
        await connection.close()


_ALL = "SELECT id::text FROM jobs"
_LIVE = f"{_ALL} WHERE finished_at IS NULL"


async def _require_sound(
    play: Play, connection: Any, settings: Settings, live: set[str], *, drained: bool = False
) -> None:
    seq = int(await play.mill.redis.hget(play.mill.keys.meta("default"), "seq"))
    await until(lambda: connection.fetchval("SELECT 1 FROM checkpoints WHERE seq = $1", seq))
    found = await check(
        settings.redis_url, ["default"], acknowledged=live, drained=drained,
        dsn=settings.postgres_dsn,
    )  # fmt: skip
    found.require()
