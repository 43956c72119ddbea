"""A queue to lose and bring back, and the tables it is projected to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from millstream.core.config import Settings
from tests.projections.conftest import pool
from tests.projections.stage import Log, open_log

__all__ = ["pool"]


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[Log]:
    async with open_log(settings) as log:
        await log.redis.sadd(log.keys.queues, log.partition)
        yield log
