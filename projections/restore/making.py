"""Makes the hot state of jobs anew from their archived events, in the order in which they wait."""

from collections.abc import Callable, Sequence
from typing import Any

from ...core.errors import MillstreamError
from ...core.linking import Outcome
from ...core.restoring import BATCH, PartitionRestore
from ...core.reviving.jobs import (
    NONE,
    QUEUED,
    Revived,
    at_time,
    outcome_of,
    released,
    revive,
)
from ..statements import statement
from .report import Jobs
from .salvage import Salvage, lives_of

Tell = Callable[[str, int], None]
"""Told the partition, and how many jobs were made of it."""


class Maker:
    """Makes the jobs of one partition; with `dry_run` it only tells which those are.

    told   what became of which
    live   jobs that live after it
    ended  others of which it saw the end: those that are not archived yet
    waits  of jobs that are not archived and wait for others: for whom, and whether on if one fails
    locks  digest → who holds it: job, and epoch and seq of its spec
    """

    def __init__(
        self, made: PartitionRestore, epoch: int, salvage: Salvage, tell: Tell, *, dry_run: bool
    ) -> None:
        self._made = made
        self._epoch = epoch
        self._salvage = salvage
        self._tell = tell
        self._dry_run = dry_run
        self.told = Jobs()
        self.live: set[str] = set()
        self.ended: dict[str, Outcome] = {}
        self.waits: dict[str, tuple[list[str], bool]] = {}
        self.locks: dict[str, tuple[str, int, int]] = {}

    async def run(self, connection: Any) -> None:
        """Make all that the archive says live, and what was salvaged; in a transaction."""
        batch: list[str] = []
        left = dict.fromkeys(self._salvage.jobs)
        async for row in connection.cursor(
            statement("live_jobs"), self._made.partition, prefetch=BATCH
        ):
            left.pop(row["id"], None)
            batch.append(row["id"])
            if len(batch) == BATCH:
                await self._make(connection, batch)
                batch = []
        batch += left
        for first in range(0, len(batch), BATCH):
            await self._make(connection, batch[first : first + BATCH])

    async def _make(self, connection: Any, ids: Sequence[str]) -> None:
        lives = await lives_of(connection, ids)
        now = await self._made.now()
        revived: list[Revived] = []
        for job in ids:
            fresh = at_time(self._salvage.jobs.get(job, []), now)
            try:
                one = revive(lives.get(job, []), fresh)
            except (MillstreamError, AssertionError) as error:
                self.told.unreadable[job] = str(error) or "its submission is not archived"
                continue
            revived.append(one)
            self._note(one, salvaged=bool(fresh))
        seqs = [0] * len(revived)
        if revived and not self._dry_run:
            seqs = await self._made.make(self._epoch, revived)
        for one, seq in zip(revived, seqs, strict=True):
            self._hold(one, seq)
        self._tell(self._made.partition, len(ids))

    def _note(self, one: Revived, *, salvaged: bool) -> None:
        told, job = self.told, one.job
        if salvaged:
            told.salvaged.append(job.id)
            self.waits[job.id] = one.parents, job.on_parent_failure == "wait"
        if one.code == NONE:
            self.ended[job.id] = outcome_of(one)
        else:
            self.live.add(job.id)
        if released(one):
            told.released.append(job.id)
        if one.code == QUEUED:
            told.queued += 1
        elif one.code != NONE:
            told.waiting += 1
        elif one.events and not salvaged:
            told.ended.append(job.id)

    def _hold(self, one: Revived, seq: int) -> None:
        """Note the lock that a job holds: the latest spec stands, for a lock may be taken over."""
        if one.lock is None:
            return
        digest, spec = one.lock
        epoch, at = spec.epoch, spec.seq
        fresh = [record.seq for record in self._salvage.jobs.get(one.job.id, [])]
        if spec.seq in fresh and spec.epoch != self._epoch:
            epoch, at = self._epoch, seq + fresh.index(spec.seq)
        before = self.locks.get(digest)
        if before is None or before[1:] < (epoch, at):
            self.locks[digest] = one.job.id, epoch, at
