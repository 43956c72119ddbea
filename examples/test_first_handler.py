"""A test of the smallest handler there is.

pytest examples/test_first_handler.py
"""

from pathlib import Path

import pytest

from millstream.consumers.testing import Sandbox, SandboxError

APP = str(Path(__file__).with_name("first_handler.py"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_guest_is_greeted():
    async with Sandbox(APP, strict=True) as box:
        job = await box.submit("greet", {"name": "Ada"}, delay=60)
        assert await box.run() == 0
        await box.advance(minutes=1)
        assert box.job(job).result == "Hello, Ada!"
        assert box.job(job).story == ["submitted", "queued", "started", "succeeded"]


async def test_a_guest_needs_a_name():
    async with Sandbox(APP) as box:
        with pytest.raises(SandboxError, match=r"missing required field `name`"):
            await box.submit("greet", {})
