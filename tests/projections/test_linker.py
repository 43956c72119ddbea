"""The linker goes on, whatever happens."""

from __future__ import annotations

from structlog.testing import capture_logs

from millstream.core.connection import connect
from millstream.core.joining import Joiner
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory
from millstream.projections.linker import Linker


async def test_a_look_that_fails_in_a_way_nobody_thought_of_is_told_and_made_again(
    redis_url: str,
) -> None:
    redis, keys = connect(redis_url, timeout=60), Keys()
    directory = Directory(redis, keys)
    linker = Linker(directory, Joiner(directory), LogReader(redis, keys), None)
    try:
        await redis.set(keys.linked, "not a set")
        with capture_logs() as told:
            await linker.sweep()
        assert [one["log_level"] for one in told] == ["error"]
        await redis.delete(keys.linked)
        with capture_logs() as told:
            await linker.sweep()
        assert told == []
    finally:
        await redis.aclose()
