"""Reads what the tables hold already, as far as the projector needs it to go on."""

from collections.abc import Collection, Sequence
from typing import Any

from ..core.events import Command
from ..core.jobs import Job
from .connection import connect_once, translated
from .fold import is_job_id
from .lane import Lane
from .rows import read_slim_job
from .statements import statement
from .tables import STATEMENT_TIMEOUT


class Past:
    """A connection for reading, beside the one that writes: it reads while that commits."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    def close(self) -> None:
        """Give the connection up at once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def lanes(self, partitions: Sequence[str], margin: int) -> list[Lane]:
        """The given partitions from their checkpoints on; those without one are left out."""
        rows = await self._fetch("load_checkpoints", partitions)
        lanes = {row["partition"]: Lane(*row) for row in rows}
        for row in await self._fetch("parked_jobs", list(lanes)):
            lanes[row["partition"]].parked.add(row["job"].decode())
        for lane in lanes.values():
            # So that a projector restarted often still trims.
            for row in await self._fetch(
                "archived_entry", lane.partition, lane.epoch, lane.seq - margin
            ):
                lane.remember_end(row["seq"], row["entry"])
        return list(lanes.values())

    async def greet(self) -> None:
        """Be seen to be connected: while all is quiet nothing else would connect again."""
        await self._fetch("load_checkpoints", [])

    async def begin(self, partition: str, epoch: int) -> None:
        """Make the checkpoint of a partition never projected before."""
        await self._fetch("make_checkpoint", partition, epoch)

    async def partitions(self) -> list[str]:
        """All partitions that were ever projected."""
        return [row["partition"] for row in await self._fetch("checkpointed")]

    async def begin_epoch(self, lane: Lane, epoch: int) -> None:
        """Go on with the log of a new epoch, from its beginning."""
        await self._fetch("begin_epoch", lane.partition, lane.epoch, lane.stored, epoch)

    async def begins_late(self, partition: str) -> bool:
        """Whether events without a beginning are of jobs that retention dropped."""
        return (await self._fetch("begins_late", partition))[0]["pruned"]

    async def pass_dropped(self, partition: str, epoch: int, seq: int, last: int) -> bool:
        """Move a checkpoint over events that retention dropped; False if it moved meanwhile."""
        done = await self._fetch("pass_dropped", partition, epoch, seq, seq + 1, last)
        return bool(done)

    async def declare(
        self, partition: str, epoch: int, seq: int, last: int, entry: str, by: Command
    ) -> bool:
        """Declare the events after `seq` to be nowhere; False if the checkpoint moved meanwhile."""
        told = epoch, seq + 1, last, entry, by.actor, by.reason
        return bool(await self._fetch("declare_gap", partition, epoch, seq, *told))

    async def note_loss(self, lane: Lane, reason: str) -> None:
        """Keep how far a log was known to be, now that it is lost."""
        known = max(lane.expected, lane.stored)
        await self._fetch("note_loss", lane.partition, lane.epoch, lane.stored, known, reason)

    async def halt(self, lane: Lane, reason: str | None) -> None:
        """Say in the checkpoint why nothing is projected (None: all is well again)."""
        await self._fetch("halt", lane.partition, lane.epoch, lane.stored, reason)

    async def jobs(self, ids: Collection[str]) -> dict[str, Job]:
        """The rows of these jobs, without payload, metadata and tags."""
        wanted = sorted(filter(is_job_id, ids))
        if not wanted:
            return {}
        rows = await self._fetch("previous_jobs", wanted, wanted[0], wanted[-1])
        return {str(row["id"]): read_slim_job(row) for row in rows}

    async def _fetch(self, name: str, *args: Any) -> list[Any]:
        try:
            with translated():
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect_once(
                        self._dsn, timeout=STATEMENT_TIMEOUT, role="projector"
                    )
                return await self._connection.fetch(statement(name), *args)
        except BaseException:
            self.close()
            raise
