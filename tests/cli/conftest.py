"""Commands beside an API, a projector and a worker of the examples, for all tests of a module."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from tests.ports import coming_port

from .commands import HANDLERS, Commands
from .roles import running

Serving = Callable[..., AbstractContextManager[Commands]]
"""Starts the roles, with settings by name."""


@pytest.fixture(scope="module")
def serving(
    valkey_server: Valkey,
    postgres_server: Postgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Serving:
    @contextmanager
    def served(**given: object) -> Generator[Commands]:
        valkey_server.start()
        postgres_server.start()
        name = f"commands_{uuid.uuid4().hex[:8]}"  # what another module left is not found
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        base: dict[str, object] = {
            "redis_url": valkey_server.url,
            "postgres_dsn": postgres_server.dsn_of(name),
            "namespace": name,
            "port": coming_port(),
            "sweep": 0.2,
        }
        settings = config.override(Settings(), base | given)
        with running(settings, tmp_path_factory.mktemp("roles"), str(HANDLERS)):
            yield Commands(settings)
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return served


@pytest.fixture(scope="module")
def millstream(serving: Serving) -> Iterator[Commands]:
    with serving() as commands:
        yield commands
