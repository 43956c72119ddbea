"""Which logs are lost: the archive's last position of each against what Redis says."""

from typing import Any, NamedTuple

from ...core.errors import MillstreamError
from ...core.events import Record
from ...core.log import Head, LogReader
from ...core.restoring import PartitionRestore
from ..connection import translated
from ..queries import Checkpoint
from ..statements import statement


class Moved(MillstreamError):
    """The projector went on with a partition while a restore read its archive."""

    def __init__(self, partition: str) -> None:
        super().__init__(f"the projector went on with {partition} meanwhile: run it again")


class Finding(NamedTuple):
    """How the log of a partition stands against its archive.

    archived  the archive's end
    head      what Redis says now
    reason    why the log counts as lost; None: it is fine
    known     seq of the last event that was ever known of it
    epoch     the epoch that a restore begins
    gap       where the tables are behind what the log still holds: its first record
    """

    partition: str
    archived: Checkpoint
    head: Head
    reason: str | None
    known: int
    epoch: int
    gap: Record | None = None


async def examine(
    connection: Any, reader: LogReader, restore: PartitionRestore, archived: Checkpoint
) -> Finding:
    """Look at one partition. Raises Unavailable."""
    name = restore.partition
    head = await reader.head(name)
    with translated():
        row = await connection.fetchrow(statement("find_loss"), name, archived.epoch)
    known = max(archived.seq, row["known"] or 0)
    epoch = max(archived.epoch, head.epoch, row["epoch"] or 0) + 1
    reason = head.lost or await _trouble(reader, restore, archived, head)
    gap = None if reason else await _gap(reader, archived, head, name)
    if head.lost is None and head.epoch == archived.epoch:
        known = max(known, head.seq)
    return Finding(name, archived, head, reason, known, epoch, gap)


async def _trouble(
    reader: LogReader, restore: PartitionRestore, archived: Checkpoint, head: Head
) -> str | None:
    """Why the log counts as lost though nobody has said so yet."""
    name = restore.partition
    if not await restore.has_log():
        return f"the log of {name} is gone" if head.seq or archived.seq else None
    if head.seq == 0:
        return f"the log of {name} does not say where it ends"
    if (head.epoch, head.seq) < (archived.epoch, archived.seq):
        return (
            f"the log of {name} has gone back: expected at least seq {archived.seq} of epoch"
            f" {archived.epoch}, got: seq {head.seq} of epoch {head.epoch}"
        )
    last = await restore.last_seq()
    if last is not None and last < head.seq:
        return f"the log of {name} ends at seq {last}, expected seq {head.seq}"
    after = await reader.range(name, f"({archived.entry}", count=1) if archived.seq else []
    if after and after[0].epoch == archived.epoch and after[0].seq <= archived.seq:
        return f"the log of {name} has gone back: seq {after[0].seq} was archived as another event"
    return None


async def _gap(reader: LogReader, archived: Checkpoint, head: Head, name: str) -> Record | None:
    """The first record the log still holds, if events between the archive and it are in neither."""
    begin = "-" if head.epoch > archived.epoch or not archived.seq else f"({archived.entry}"
    after = await reader.range(name, begin, count=1)
    return after[0] if after and after[0].seq > archived.seq + 1 else None
