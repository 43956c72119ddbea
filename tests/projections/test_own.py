"""Projections of users' own: over all history, exactly once, rebuilt like the built-in tables."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.projections.own import Batch, Projection, ProjectionUnfit
from millstream.projections.own.projection import checked
from millstream.projections.own.rebuild import OwnCourse
from millstream.projections.own.runner import Runner, VersionDiffers
from millstream.projections.rebuild.course import Differs, Step
from millstream.projections.rebuild.upkeep import drop
from tests.projections.stage import Log, all_records, projecting, until, until_seq, work

EXAMPLE = Path(__file__).parents[2] / "examples" / "per_hour.py"


class Kinds(Projection):
    name = "kinds"
    version = 1
    tables = "CREATE TABLE kinds (type text PRIMARY KEY, count bigint NOT NULL)"

    async def apply(self, batch: Batch, connection: Any) -> None:
        for kind, count in sorted(Counter(record.type for record, _ in batch).items()):
            await connection.execute(
                "INSERT INTO kinds AS old VALUES ($1, $2)"
                " ON CONFLICT (type) DO UPDATE SET count = old.count + excluded.count",
                kind,
                count,
            )


class Newer(Kinds):
    version = 2

    async def apply(self, batch: Batch, connection: Any) -> None:
        jobs = [pair for pair in batch if pair[0].job]
        await super().apply([pair for pair in jobs for _ in range(2)], connection)


async def counted(pool: Any) -> dict[str, int]:
    return dict(await pool.fetch("SELECT type, count FROM kinds"))


async def told(log: Log) -> Counter[str]:
    return Counter(record.type for record in await all_records(log))


async def archive(settings: Settings, log: Log, pool: Any, jobs: int = 100) -> None:
    await work(log, jobs)
    async with projecting(settings):
        await until_seq(pool, (await all_records(log))[-1].seq)


async def advance(settings: Settings, projection: Projection) -> None:
    runner = Runner(settings.postgres_dsn, [projection])
    try:
        while await runner.advance():
            pass
    finally:
        runner.close()


async def test_it_has_all_history_and_what_comes(settings: Settings, log: Log, pool: Any) -> None:
    await archive(settings, log, pool)
    await advance(settings, Kinds())
    assert await counted(pool) == await told(log)
    await archive(settings, log, pool)
    await advance(settings, Kinds())
    assert await counted(pool) == await told(log)


async def test_several_at_once_count_each_event_once(
    settings: Settings, log: Log, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.projections.rebuild.source.WINDOW", 20)
    stop = asyncio.Event()
    running = [
        asyncio.create_task(Runner(settings.postgres_dsn, [Kinds()]).run(stop)) for _ in range(3)
    ]
    async with projecting(settings):
        for _ in range(5):
            await work(log, 60)
        total = await told(log)

        async def all_there() -> bool:
            found = await pool.fetchval("SELECT to_regclass('kinds') IS NOT NULL")
            return found and await counted(pool) == total

        await until(all_there)
    stop.set()
    await asyncio.gather(*running)


async def test_a_batch_that_fails_leaves_nothing(settings: Settings, log: Log, pool: Any) -> None:
    class Broken(Kinds):
        async def apply(self, batch: Batch, connection: Any) -> None:
            await super().apply(batch, connection)
            raise RuntimeError("no")

    await archive(settings, log, pool)
    with pytest.raises(RuntimeError):
        await advance(settings, Broken())
    assert await counted(pool) == {}
    await advance(settings, Kinds())
    assert await counted(pool) == await told(log)


async def test_another_version_asks_for_a_rebuild_and_is_rebuilt(
    settings: Settings, log: Log, pool: Any
) -> None:
    await archive(settings, log, pool)
    await advance(settings, Kinds())
    with pytest.raises(VersionDiffers, match="--projection kinds"):
        await advance(settings, Newer())
    steps: list[Step] = []
    await OwnCourse(settings.postgres_dsn, Newer(), steps.append, accept=False).run()
    assert [step.phase for step in steps][-3:] == ["compare", "swap", "done"]
    expected = {kind: 2 * count for kind, count in (await told(log)).items() if "job" in kind}
    assert await counted(pool) == expected
    await archive(settings, log, pool)
    await advance(settings, Newer())
    with pytest.raises(VersionDiffers):
        await advance(settings, Kinds())
    assert await pool.fetchval("SELECT count(*) FROM millstream_old_kinds.kinds") > 0
    await drop(settings, old=True, projection="kinds")


async def test_the_same_version_is_compared(settings: Settings, log: Log, pool: Any) -> None:
    await archive(settings, log, pool)
    await advance(settings, Kinds())
    await pool.execute("UPDATE kinds SET count = 0 WHERE type = 'job.started'")
    with pytest.raises(Differs) as caught:
        await OwnCourse(settings.postgres_dsn, Kinds(), lambda step: None, accept=False).run()
    (difference,) = caught.value.comparison.differences
    assert difference.key == {"type": "job.started"}
    await OwnCourse(settings.postgres_dsn, Kinds(), lambda step: None, accept=True).run()
    assert await counted(pool) == await told(log)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "No Name"}, "expected a name such as"),
        ({"name": "tables"}, "expected a name such as"),
        ({"version": 0}, "expected an integer from 1, got: 0"),
        ({"tables": None}, "expected the SQL"),
    ],
)
def test_an_unfit_projection_is_named(fields: dict[str, Any], text: str) -> None:
    kind: Any = type("Mine", (Kinds,), fields)
    with pytest.raises(ProjectionUnfit, match=text):
        checked([kind()])


async def test_the_example_runs_as_a_process_and_is_rebuilt(
    settings: Settings, log: Log, pool: Any
) -> None:
    await archive(settings, log, pool)
    process = await _start(settings, "project", "--app", str(EXAMPLE))
    try:

        async def all_there() -> bool:
            if not await pool.fetchval("SELECT to_regclass('per_hour') IS NOT NULL"):
                return False
            ended = dict(await pool.fetch("SELECT ended, sum(count)::int FROM per_hour GROUP BY 1"))
            expected = {kind[4:]: count for kind, count in (await told(log)).items()}
            return all(ended.get(end) == expected.get(end) for end in ("succeeded", "failed"))

        await until(all_there)
        args = ("rebuild", "--projection", "per_hour", "--app", str(EXAMPLE))
        again = await _start(settings, *args)
        assert await again.wait() == 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert await all_there()


async def _start(settings: Settings, *args: str) -> asyncio.subprocess.Process:
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "millstream.cli", *args),
        env=environ | config.as_environ(settings),
        stdout=asyncio.subprocess.DEVNULL,
    )


async def test_tables_that_postgresql_refuses_end_it(
    settings: Settings, log: Log, pool: Any
) -> None:
    class Broken(Kinds):
        name = "broken"
        tables = "CREATE TABEL broken (a int)"

    runner = Runner(settings.postgres_dsn, [Broken()])
    with pytest.raises(
        ProjectionUnfit, match=r"Broken\.tables: PostgreSQL refuses this SQL: .*TABEL"
    ):
        await asyncio.wait_for(runner.run(asyncio.Event()), 30)
