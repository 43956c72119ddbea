"""Where the tables are behind what a log still holds: the gap is named, or declared."""

from typing import Any

from ...core import events as ev
from ...core.events import Record, position
from ...core.log import START
from ..connection import translated
from ..statements import statement
from .findings import Finding, Moved
from .report import Range


def gap_of(finding: Finding, record: Record) -> Range:
    """The positions between the archive and `record`, the first that the log still holds."""
    name, epoch = finding.partition, finding.archived.epoch
    return Range(
        position(name, epoch, finding.archived.seq + 1), position(name, epoch, record.seq - 1)
    )


async def declare(connection: Any, finding: Finding, record: Record, by: ev.Command) -> None:
    """Say that the events up to `record` are nowhere. Raises Moved."""
    archived = finding.archived
    with translated():
        done = await connection.fetch(
            statement("declare_gap"), finding.partition, archived.epoch, archived.seq,
            record.epoch, archived.seq + 1, record.seq - 1, START, by.actor, by.reason,
        )  # fmt: skip
    if not done:
        raise Moved(finding.partition)
