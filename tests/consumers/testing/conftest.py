from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from millstream.consumers.testing import Sandbox

Box = Callable[..., Sandbox]


def be_patient(box: Sandbox) -> None:
    """From now on wait for handlers as long as a busy machine takes."""
    box._crew._patience = 60.0  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(params=("memory", "server"))
def sandbox(request: pytest.FixtureRequest) -> Box:
    """Makes sandboxes: in memory, and on a real server."""
    if request.param == "memory":
        return Sandbox
    return partial(Sandbox, server=request.getfixturevalue("redis_url"))
