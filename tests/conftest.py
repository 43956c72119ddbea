"""Real servers for every test that asks: one Valkey and one PostgreSQL per test process.

A test gets an empty Valkey and a database of its own, copied from a migrated template. Tests may
kill and restart the servers; the next test finds them running again.

TEST_REDIS names a redis-server to test on instead of the embedded Valkey; it must be there, and be
what TEST_REDIS_VERSION says. `make test-servers` sets both.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from _pytest.nodeid import NodeId
from hypothesis import settings as hypothesis_settings

from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.embedded.process import is_alive

OTHER_SERVER = os.environ.get("TEST_REDIS")

# Servers other than the one of `make test` are there to differ from it, not to find rare orders.
hypothesis_settings.register_profile(
    "millstream", deadline=None, max_examples=30 if OTHER_SERVER else 100
)
hypothesis_settings.load_profile("millstream")

MEMORY = Path("/dev/shm")
ROOM = 2 * 2**30

_numbers = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let `xdist_group` say which tests run in one process.

    xdist 3.8 tells its scheduler by a field of the item that pytest 9.2 no longer reads: all of
    them ran anywhere, and what is made once for a group was made in each process.
    """
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(name := f"@{mark.args[0]}"):
            setattr(item, "_id", NodeId.parse(item.nodeid + name))  # noqa: B010 (private)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def servers_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory where there is room: a database of each test's own is a copy of 400 files, which
    takes a tenth of a second on a disk, and a hundredth here."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path_factory.mktemp("servers")
        return
    for old in MEMORY.glob("millstream-test-*"):
        if not is_alive(int(old.name.rpartition("-")[2])):
            shutil.rmtree(old, ignore_errors=True)  # its test run was killed
    root = MEMORY / f"millstream-test-{os.getpid()}"
    root.mkdir(mode=0o700)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def valkey_server(servers_root: Path) -> Iterator[Valkey]:
    server = Valkey(servers_root, binary=Path(OTHER_SERVER) if OTHER_SERVER else None)
    server.start()
    server.pin_port()
    if OTHER_SERVER:
        _check_version(server.url)
    yield server
    server.stop()


def _check_version(url: str) -> None:
    """A matrix that tests the same server twice would tell nobody."""
    wanted = os.environ["TEST_REDIS_VERSION"]
    with redis.Redis.from_url(url, decode_responses=True) as client:
        info: Any = client.info("server")
    got = info["redis_version"]
    assert got.startswith(f"{wanted}."), f"expected Redis {wanted}, got {got}"
    assert "valkey_version" not in info, f"expected Redis {wanted}, got Valkey"


@pytest.fixture(scope="session")
def postgres_server(servers_root: Path) -> Iterator[Postgres]:
    small = {"shared_buffers": "64MB", "min_wal_size": "64MB", "max_wal_size": "256MB"}
    server = Postgres(servers_root, options={"fsync": "off", **small})
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
