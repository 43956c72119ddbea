from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .mill import Mill


@pytest.fixture
async def mill(redis_url: str) -> AsyncIterator[Mill]:
    """A partition whose whole log and hot state are audited when the test is over."""
    mill = Mill(redis_url)
    yield mill
    report = await mill.close()
    if mill.broken:
        assert report.names <= mill.broken, str(report)
    else:
        report.require()
