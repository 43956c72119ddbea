"""A sandbox's ground on a real server: the same verbs, written in Lua."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.connection import connect, connect_sync
from ...core.embedded import Valkey
from ...core.events import Record
from ...core.keys import Keys
from ...core.log import START, LogReader
from ...core.queue import Directory, PartitionQueue
from ...core.renewing import LeaseRenewer
from ...core.schedule_index import Schedules
from ...core.submitting import NewJob, Receipt
from .moving import Mover

TIMEOUT = 30.0
PAGE = 1000
NAMES_A_TIME = ("job.joined", "job.rescheduled", "job.redriven")


class OnServer:
    """On a Valkey of its own, or under a namespace of its own on the server of `url`.

    `ahead`: by how many ms the time of the sandbox is ahead of the server's, since it was stepped.
    """

    calendar = False

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._keys = Keys(f"test-{secrets.token_hex(4)}")
        self._folder: str | None = None
        self._valkey: Valkey | None = None
        self._redis: Any = None
        self._sync: Any = None
        self._reached = False
        self._skew = 0.0
        self._last: dict[str, str] = {}
        self._records: list[Record] = []
        self._reading = asyncio.Lock()
        self.ahead = 0

    async def open(self) -> None:
        """Start the server, if none was named. Raises what `Valkey` and `connect` raise."""
        url = self._url or await asyncio.to_thread(self._start)
        self._redis = connect(url, timeout=TIMEOUT)
        self._sync = connect_sync(url, timeout=TIMEOUT)
        self._log = LogReader(self._redis, self._keys)
        self._mover = Mover(self._redis, self._keys)
        self.directory = _Directory(self._redis, self._keys, self)
        self.schedules = Schedules(self._redis, self._keys, self.directory)
        self._skew = await self.schedules.now() - time.time() * 1000
        self._reached = True

    def _start(self) -> str:
        self._folder = tempfile.mkdtemp(prefix="millstream-sandbox-")
        self._valkey = Valkey(self._folder, appendfsync="no")
        self._valkey.start()
        return self._valkey.url

    async def close(self) -> None:
        """Take all away that was there for the sandbox."""
        if self._redis is not None:
            if self._reached:
                await self._forget()
            await self._redis.aclose()
            self._sync.close()
        if self._valkey is not None:
            await asyncio.to_thread(self._valkey.stop)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _forget(self) -> None:
        for pattern in (f"{{{self._keys.namespace}:*", f"{self._keys.namespace}:*"):
            if self._url is not None and (found := await self._redis.keys(pattern)):
                await self._redis.unlink(*found)

    def time(self) -> float:
        """The server's clock, and what was stepped."""
        return time.time() * 1000 + self._skew + self.ahead

    async def step(self, ms: int) -> None:
        """Move all times back; what happened by now was at the time it was."""
        await self.refresh()
        for partition in await self.directory.partitions():
            await self._mover.move(partition, ms)
        self.ahead += ms

    def renew(self, worker: str, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """As `LeaseRenewer.renew`."""
        return LeaseRenewer(self._sync, self._keys, worker).renew(partition, leases)

    async def refresh(self) -> None:
        """Read what has happened since, in the time of the sandbox."""
        async with self._reading:
            for partition in await self.directory.partitions():
                await self._read(partition)

    async def _read(self, partition: str) -> None:
        last = self._last.get(partition, START)
        while found := await self._log.range(partition, f"({last}", count=PAGE):
            last = self._last[partition] = found[-1].entry
            self._records += [_later(one, self.ahead) for one in found]

    def records(self) -> list[Record]:
        """What was read, by time."""
        return sorted(self._records, key=lambda record: record.time)


def _later(record: Record, ms: int) -> Record:
    """The same, told in the time of the sandbox: also a time that the server named itself."""
    body = record.body
    if record.type in NAMES_A_TIME and b'"run_at":' in body:
        said = msgspec.json.decode(body)
        body = msgspec.json.encode(said | {"run_at": said["run_at"] + ms})
    return msgspec.structs.replace(record, time=record.time + ms, body=body)


class _Directory(Directory):
    def __init__(self, redis: Any, keys: Keys, ground: OnServer) -> None:
        super().__init__(redis, keys)
        self._ground = ground

    def queue(self, partition: str) -> PartitionQueue:
        found = self._known.get(partition)
        if found is None:
            found = self._known[partition] = _Queue(
                self._redis, partition, self._keys, self._ground
            )
        return found


class _Queue(PartitionQueue):
    """Takes times of the sandbox where jobs are submitted with any."""

    __slots__ = ("_ground",)

    def __init__(self, redis: Any, partition: str, keys: Keys, ground: OnServer) -> None:
        super().__init__(redis, partition, keys)
        self._ground = ground

    async def submit(self, jobs: Sequence[NewJob], command: str | None = None) -> Receipt:
        return await super().submit([self._timed(job) for job in jobs], command)

    def _timed(self, job: NewJob) -> NewJob:
        spec, ahead = job.spec, self._ground.ahead
        run_at = None if spec.run_at is None else spec.run_at - ahead
        expires_at = None if spec.expires_at is None else spec.expires_at - ahead
        return job._replace(
            spec=msgspec.structs.replace(spec, run_at=run_at, expires_at=expires_at)
        )
