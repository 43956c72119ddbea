"""Levels of acknowledgement that Redis itself can give: what was submitted is on the disk of the
server (`fsync`), or in the memory of replicas too (`replicated`).

A submission is sent as always, together with others. Then `confirm` touches the key under which the
server remembers its command, and waits on the same connection until the disk, or the replicas, have
come as far as that write: all before it came along. Where the key is gone, the server has lost the
submission (it was killed, or another one took its place), and that is said, not confirmed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from .connection import Ask, conversation, translated
from .errors import LevelRefused, Unconfirmed
from .keys import Keys
from .submitting import COMMAND_KEPT_MS
from .syncing import check_syncs, until_synced

Level = Literal["memory", "fsync", "replicated", "archived"]

IN_FLIGHT = 4
"""Confirmations of a partition under way at a time; who comes meanwhile shares the next."""

CONNECTIONS = 48
"""Most connections that wait: fewer than the client has."""


class Acknowledger:
    """Asks one server. `redis`: a client that may block for `timeout` seconds."""

    def __init__(self, redis: Any, keys: Keys, *, replicas: int, timeout: float) -> None:
        self._redis = redis
        self._keys = keys
        self._replicas = replicas
        self._timeout = timeout
        self._lines: dict[tuple[Level, str], _Line] = {}
        self._slots = asyncio.Semaphore(CONNECTIONS)

    async def check(self, level: Level) -> None:
        """Raises LevelRefused if the server cannot give that level, Unavailable."""
        with translated():
            async with conversation(self._redis) as ask:
                if level == "fsync":
                    await check_syncs(ask)
                elif level == "replicated":
                    await _check_replicas(ask, self._replicas)

    async def confirm(self, level: Level, partition: str, commands: Iterable[str]) -> None:
        """Wait until what these commands submitted is there. Raises Unconfirmed, Unavailable."""
        line = self._lines.get((level, partition))
        if line is None:
            ask = partial(self._confirm, level, partition)
            line = self._lines[level, partition] = _Line(ask)
        await line.join(commands)

    async def _confirm(self, level: Level, partition: str, commands: Sequence[str]) -> None:
        touches = [
            ("PEXPIRE", self._keys.once(partition, command), COMMAND_KEPT_MS)
            for command in commands
        ]
        async with self._slots:
            with translated():
                async with conversation(self._redis) as ask:
                    if any(reply != 1 for reply in await ask(*touches)):
                        raise Unconfirmed("Redis has lost the submission")
                    if level == "fsync":
                        await until_synced(ask, self._timeout)
                    else:
                        await _until_replicated(ask, self._replicas, self._timeout)


async def _check_replicas(ask: Ask, wanted: int) -> None:
    (reply,) = await ask(("INFO", "replication"))
    lines = reply.decode().splitlines()
    if "role:master" not in lines:
        raise LevelRefused("replicated", "Redis is itself a replica", lasting=False)
    online = sum(line.startswith("slave") and "state=online" in line for line in lines)
    if online < wanted:
        missing = f"expected {wanted} replicas online, got {online}"
        raise LevelRefused("replicated", missing, lasting=False)


async def _until_replicated(ask: Ask, wanted: int, timeout: float) -> None:
    ms = max(1, round(timeout * 1000))
    (reached,) = await ask(("WAIT", wanted, ms))
    if isinstance(reached, Exception):
        raise Unconfirmed(f"Redis could not wait for replicas: {reached}")
    if reached < wanted:
        expected = f"expected {wanted} replicas to have it within {ms} ms"
        raise Unconfirmed(f"{expected}, got {reached}")


class _Line:
    """Commands of one partition that wait for one level."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._ask = ask
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0

    async def join(self, commands: Iterable[str]) -> None:
        loop = asyncio.get_running_loop()
        futures = {self._waiting.setdefault(command, loop.create_future()) for command in commands}
        if self._running < IN_FLIGHT:
            self._running += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Not awaited themselves: others may wait for the same command.
        await asyncio.wait(futures)
        for future in futures:
            future.result()

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, {}
                await self._settle(taken)
        finally:
            self._running -= 1

    async def _settle(self, taken: "dict[str, asyncio.Future[None]]") -> None:
        failure: Exception | None = None
        try:
            await self._ask(list(taken))
        except asyncio.CancelledError:
            failure = Unconfirmed("the server shut down meanwhile")
            raise
        except Exception as error:
            failure = error
        finally:
            for future in taken.values():
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
                    future.exception()  # whoever asked may have gone: no warning of that
