"""Tells who waits when the projection has passed a position, or when a job has ended.

One connection listens for all. The projector notifies once per batch; however many wait for jobs,
one query per notification tells which of those have ended. While anybody waits the tables are
asked now and then as well, so that nothing depends on a notification (poolers swallow them).
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import structlog

from ..core.config import Settings
from ..core.errors import Unavailable
from ..core.events import parse_position
from ..core.ids import is_id
from .connection import connect_once, translated
from .statements import statement

CHANNEL = "millstream"
POLL_EVERY = 0.25
PAUSE = 0.005
"""Least seconds between two queries, so that notifications in a rush share one; more if they take
long, so that waiting takes a fifth of a connection at most."""

log = structlog.get_logger("millstream.changes")

_Waiters = defaultdict[Any, set["asyncio.Future[None]"]]


class Changes:
    """Use it with `async with`, or call `start` and `close`. Works while PostgreSQL is down, too:
    then everybody waits until their time is up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._positions: dict[str, tuple[int, int]] = {}
        self._for_position: _Waiters = defaultdict(set)
        self._for_end: _Waiters = defaultdict(set)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listening = True

    async def __aenter__(self) -> "Changes":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to listen; does not wait for the server."""
        self._task = asyncio.create_task(self._run(), name="changes")

    async def close(self) -> None:
        """Stop listening; those who still wait get False when their time is up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def wait_position(self, partition: str, epoch: int, seq: int, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the tables hold the event; whether they do."""
        if self._passed(partition, (epoch, seq)):
            return True
        return await self._wait(self._for_position, (partition, epoch, seq), timeout)

    async def wait_terminal(self, job_id: str, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the tables say that the job has ended."""
        if not is_id(job_id):
            return False  # it would spoil the query for all
        return await self._wait(self._for_end, job_id, timeout)

    def _passed(self, partition: str, position: tuple[int, int]) -> bool:
        return self._positions.get(partition, (0, 0)) >= position

    async def _wait(self, waiters: _Waiters, key: object, timeout: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters[key].add(future)
        self._wake.set()
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return False
        else:
            return True
        finally:
            waiters[key].discard(future)
            if not waiters[key]:
                del waiters[key]

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Unavailable as error:
                if self._listening:  # once an outage: it is tried again four times a second
                    log.warning("changes.waits", reason=str(error))
                self._listening = False
            except Exception:
                log.exception("changes.failed")
            await asyncio.sleep(POLL_EVERY)

    async def _listen(self) -> None:
        connection = await connect_once(
            self._settings.postgres_dsn, timeout=self._settings.command_timeout, role="changes"
        )
        try:
            with translated():
                await connection.add_listener(CHANNEL, self._notified)
                connection.add_termination_listener(lambda _: self._wake.set())
                self._listening = True
                while True:
                    began = time.monotonic()
                    await self._look(connection)
                    await asyncio.sleep(max(PAUSE, 4 * (time.monotonic() - began)))
                    await self._until_woken(connection)
        finally:
            connection.terminate()

    async def _until_woken(self, connection: Any) -> None:
        wait = POLL_EVERY if self._for_position or self._for_end else None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait)
        self._wake.clear()
        if connection.is_closed():
            raise Unavailable("PostgreSQL closed the connection that listens")

    async def _look(self, connection: Any) -> None:
        if self._for_position:
            partitions = list({key[0] for key in self._for_position})
            for row in await connection.fetch(statement("load_checkpoints"), partitions):
                self._moved(row["partition"], (row["epoch"], row["seq"]))
        if self._for_end:
            ids = sorted(self._for_end)
            rows = await connection.fetch(statement("ended_jobs"), ids, ids[0], ids[-1])
            for row in rows:
                _release(self._for_end.get(str(row["id"]), ()))

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        with contextlib.suppress(ValueError):
            partition, epoch, seq = parse_position(payload)
            self._moved(partition, (epoch, seq))
        self._wake.set()

    def _moved(self, partition: str, position: tuple[int, int]) -> None:
        self._positions[partition] = position
        for key in self._waiting_in(partition):
            if key[1:] <= position:
                _release(self._for_position[key])

    def _waiting_in(self, partition: str) -> Iterator[tuple[str, int, int]]:
        return (key for key in list(self._for_position) if key[0] == partition)


def _release(futures: Any) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
