from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .stage import Archive, opened


@pytest.fixture
async def archive(postgres_dsn: str) -> AsyncIterator[Archive]:
    async with opened(postgres_dsn) as archive:
        yield archive
