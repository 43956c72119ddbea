"""Real servers for every test that asks: one Valkey and one PostgreSQL per test process.

A test gets an empty Valkey and a database of its own, copied from a migrated template. Tests may
kill and restart the servers; the next test finds them running again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey

hypothesis_settings.register_profile("millstream", deadline=None)
hypothesis_settings.load_profile("millstream")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def servers_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def valkey_server(servers_root: Path) -> Iterator[Valkey]:
    server = Valkey(servers_root)
    server.start()
    server.pin_port()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server(servers_root: Path) -> Iterator[Postgres]:
    server = Postgres(servers_root, options={"fsync": "off", "shared_buffers": "64MB"})
    server.start()
    server.pin_port()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey_server: Valkey) -> str:
    """An empty Valkey (append-only, fsync every second)."""
    valkey_server.start()
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    from millstream.projections.migrations import migrate

    name = "template_millstream"
    postgres_server.execute(f"CREATE DATABASE {name}")
    asyncio.run(migrate(postgres_server.dsn_of(name)))
    return name


@pytest.fixture
def postgres_dsn(postgres_server: Postgres, migrated_template: str) -> Iterator[str]:
    """A database of this test's own, migrated and empty."""
    postgres_server.start()
    name = f"test_{next(_numbers)}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield postgres_server.dsn_of(name)
    postgres_server.start()
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(redis_url: str, postgres_dsn: str) -> Settings:
    return Settings(
        redis_url=redis_url,
        postgres_dsn=postgres_dsn,
        explicit=frozenset({"redis_url", "postgres_dsn"}),
    )
