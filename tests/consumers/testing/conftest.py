from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from millstream.consumers.testing import Sandbox

Box = Callable[..., Sandbox]


@pytest.fixture(params=("memory", "server"))
def sandbox(request: pytest.FixtureRequest) -> Box:
    """Makes sandboxes: in memory, and on a real server."""
    if request.param == "memory":
        return Sandbox
    return partial(Sandbox, server=request.getfixturevalue("redis_url"))
