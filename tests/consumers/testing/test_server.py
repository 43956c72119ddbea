"""A sandbox on a server: what it takes it gives back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import redis

from millstream.consumers import Registry
from millstream.consumers.testing import Sandbox, SandboxError
from millstream.core.embedded.process import is_alive
from millstream.core.errors import Unavailable

from .greetings import greeting


async def test_a_server_of_its_own(registry: Registry) -> None:
    greeting(registry)
    async with Sandbox(registry, server=True, strict=True) as box:
        server = getattr(box._ground, "_valkey")  # noqa: B009
        folder, pid = Path(getattr(box._ground, "_folder")), server.pid  # noqa: B009
        job = await box.submit("greet", {"name": "Ada"}, delay=3600)
        await box.advance(hours=1)
        assert box.job(job).result == "Hello Ada"
        assert folder.is_dir()  # noqa: ASYNC240
        assert is_alive(pid)
    assert not folder.exists()  # noqa: ASYNC240
    assert not is_alive(pid)


async def test_a_namespace_of_its_own(redis_url: str, registry: Registry) -> None:
    greeting(registry)
    with redis.Redis.from_url(redis_url) as client:
        client.set("mine", "1")
        async with (
            Sandbox(registry, server=redis_url) as one,
            Sandbox(registry, server=redis_url) as other,
        ):
            await one.submit("greet", {"name": "Ada"})
            await other.run()
            assert (len(one.submitted()), other.submitted()) == (1, [])
        assert client.keys("*") == [b"mine"]


async def test_a_server_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(Unavailable):
        async with Sandbox(registry, server="redis://127.0.0.1:1/0"):
            pass


async def test_what_was_seen_is_seen_afterwards(redis_url: str, registry: Registry) -> None:
    greeting(registry)
    for box in (Sandbox(registry), Sandbox(registry, server=redis_url)):
        async with box:
            job = await box.submit("greet", {"name": "Ada"})
            await box.run()
        assert box.job(job).state == "succeeded"
        assert [one.id for one in box.submitted("greet")] == [job]
        with pytest.raises(SandboxError, match="within `async with"):
            await box.run()


async def test_events_tell_the_time_of_the_sandbox(redis_url: str, registry: Registry) -> None:
    greeting(registry)
    async with Sandbox(registry, server=redis_url) as box:
        first = await box.submit("greet", {"name": "Ada"})
        await box.run()
        await box.advance(days=3)
        second = await box.submit("greet", {"name": "Bob"})
        await box.run()
        apart = box.events(second)[0].at - box.events(first)[0].at
        assert timedelta(days=3) <= apart < timedelta(days=3, minutes=2)
