"""A queue to lose and bring back, and the tables it is projected to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from millstream.core.config import Settings
from millstream.projections import projector, roster
from tests.projections.conftest import pool
from tests.projections.stage import Log, open_log

__all__ = ["pool"]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A projector in this process soon sees what was mended, and that it is to end."""
    monkeypatch.setattr(projector, "BLOCK_MS", 25)
    monkeypatch.setattr(roster, "RETRY_HALTED", 0.1)


@pytest.fixture
def settings(settings: Settings, soon: None) -> Settings:
    """With a projector that soon sees what is lost."""
    return msgspec.structs.replace(settings, sweep=0.1)


@pytest.fixture
def folder(servers_root: Path) -> Iterator[Path]:
    """For servers of a test's own, where those of all tests are: in memory, if there is room."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=servers_root))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[Log]:
    async with open_log(settings) as log:
        await log.redis.sadd(log.keys.queues, log.partition)
        yield log
