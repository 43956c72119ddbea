from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.core.verbs.mill import Mill

from .broken import busy_mill


@pytest.fixture
async def mill(redis_url: str) -> AsyncIterator[Mill]:
    async with busy_mill(redis_url) as mill:
        yield mill
