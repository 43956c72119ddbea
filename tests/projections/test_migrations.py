"""Migrations: once each, in order, by many at once, and never on top of another history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from millstream.core.embedded import Postgres
from millstream.core.errors import Unavailable
from millstream.projections.migrations import Migration, SchemaMismatch, known, migrate, plan


@pytest.fixture
def empty_dsn(postgres_server: Postgres) -> Iterator[str]:
    postgres_server.start()
    postgres_server.execute("CREATE DATABASE unmigrated")
    yield postgres_server.dsn_of("unmigrated")
    postgres_server.execute("DROP DATABASE unmigrated WITH (FORCE)")


async def test_applies_all_once_and_in_order(empty_dsn: str) -> None:
    names = await migrate(empty_dsn)
    assert names == [migration.name for migration in known()] == sorted(names)
    assert await migrate(empty_dsn) == []


async def test_many_at_once_apply_each_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_dsn) for _ in range(5)))
    assert sorted(map(len, applied)) == [0, 0, 0, 0, len(known())]


async def test_a_changed_migration_is_refused(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    name = known()[0].name
    await connection.execute("UPDATE schema_migrations SET sha256 = 'x' WHERE name = $1", name)
    await connection.close()
    with pytest.raises(SchemaMismatch, match=f"{name} was changed"):
        await migrate(postgres_dsn)


async def test_a_server_that_is_down_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await migrate("postgresql://postgres@127.0.0.1:1/none")


ONE, TWO = Migration("0001_one", "SELECT 1"), Migration("0002_two", "SELECT 2")


def test_what_is_missing_is_planned() -> None:
    assert plan({}, [ONE, TWO]) == [ONE, TWO]
    assert plan({ONE.name: ONE.sha256}, [ONE, TWO]) == [TWO]


def test_a_database_of_a_later_release_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="0002_two, which this release does not know"):
        plan({ONE.name: ONE.sha256, TWO.name: TWO.sha256}, [ONE])


def test_a_migration_slipped_in_before_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="0001_one comes before 0002_two"):
        plan({TWO.name: TWO.sha256}, [ONE, TWO])
