from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .memory import MemoryMill
from .mill import Mill


@pytest.fixture(params=("server", "memory"))
async def mill(request: pytest.FixtureRequest) -> AsyncIterator[Mill]:
    """A partition whose whole log and hot state are audited when the test is over.

    Each test runs on a real server, and on the log in memory as far as it asks verbs alone.
    """
    on_server = request.param == "server"
    mill = Mill(request.getfixturevalue("redis_url")) if on_server else MemoryMill()
    yield mill
    report = await mill.close()
    if mill.broken:
        assert report.names <= mill.broken, str(report)
    else:
        report.require()
