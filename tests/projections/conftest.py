"""A log to project and the tables it goes into."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from millstream.core.config import Settings
from millstream.projections import queries
from tests.projections.stage import Log, open_log


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[Log]:
    async with open_log(settings) as log:
        yield log


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    pool = await queries.connect(settings)
    yield pool
    await pool.close()
