"""An archive to seal, and a verdict on what it holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.events import Record
from millstream.core.proof.heads import SignedHead
from millstream.core.proof.verifier import Verdict, Verifier
from millstream.projections.connection import connect_once
from millstream.projections.proof.sealer import Sealer
from millstream.projections.proof.seals import seals
from millstream.projections.queries import archived_events
from tests.core.proof.makers import KEYS, SIGNER
from tests.projections.stage import life
from tests.projections.test_tables import Store

SUBMITTED, STARTED = ev.JobSubmitted("t", payload=wrap(1)), ev.JobStarted(1, "w")
DONE = ev.JobSucceeded(wrap("ok"))


def lives(jobs: int, after: int = 0) -> list[Record]:
    """Three events of each of some jobs, beginning after a seq."""
    found: list[Record] = []
    for number in range(1, jobs + 1):
        seq = after + len(found) + 1
        found += life(after + number, SUBMITTED, STARTED, DONE, seq=seq)
    return found


class Archive:
    """A database whose archive is written as the projector does, and sealed."""

    def __init__(self, dsn: str, connection: Any) -> None:
        self.dsn = dsn
        self.connection = connection
        self.store = Store(dsn)

    async def add(self, records: Sequence[Record]) -> None:
        assert await self.store.apply(records)

    async def seal(self, segment: int = 4, interval: float = 0) -> int:
        sealer = Sealer(self.dsn, SIGNER, segment=segment, interval=interval)
        try:
            return await sealer.turn()
        finally:
            sealer.close()

    async def heads(self, *, leaves: bool = True, partition: str = "default") -> list[SignedHead]:
        return [one async for one in seals(self.connection, partition, leaves=leaves)]

    async def verify(self, heads: list[SignedHead] | None = None) -> Verdict:
        """The archive as it is, against `heads` or those in the database."""
        checked = Verifier(heads or await self.heads(), KEYS)
        for record in await archived_events(self.connection, "default", 0, 10_000):
            checked.take(record)
        return checked.close()


@asynccontextmanager
async def opened(dsn: str) -> AsyncGenerator[Archive]:
    connection = await connect_once(dsn, timeout=20, role="test")
    archive = Archive(dsn, connection)
    try:
        yield archive
    finally:
        archive.store.close()
        await connection.close()
