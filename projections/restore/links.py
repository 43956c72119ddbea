"""Who waits for whom, made anew on the side of the jobs that are waited for.

Each end that the archive knows is put into the outbox again, for those that wait in whatever queue:
the outbox was lost with the queue, and being told twice changes nothing. A job that lives notes who
waits for it. What other queues know of jobs of this one stands in them, or is looked after: see
`overdue` of the verbs.
"""

from collections.abc import AsyncGenerator
from typing import Any

from ...core.linking import outcome_in
from ...core.restoring import Link, PartitionRestore
from ..connection import translated
from ..statements import statement
from .making import Maker

BATCH = 500


async def link(connection: Any, made: PartitionRestore, epoch: int, maker: Maker) -> None:
    """Once all jobs of the partition are made; in the transaction in which they were read."""
    batch: list[Link] = []
    queues: set[str] = set()
    async for one, queue in _links(connection, made.partition, maker):
        queues |= {made.partition, queue}
        if one is None:
            continue
        batch.append(one)
        if len(batch) == BATCH:
            await made.link(epoch, batch)
            batch = []
    if batch:
        await made.link(epoch, batch)
    await made.put_linked(queues)


async def _links(
    connection: Any, partition: str, maker: Maker
) -> AsyncGenerator[tuple[Link | None, str]]:
    """Links, and the queue of who waits; None where the other lives elsewhere."""
    async for row in connection.cursor(statement("live_links"), partition, prefetch=BATCH):
        stays = row["on_parent_failure"] == "wait"
        here = row["lives_in"] == partition
        yield (
            _link(row["parent"], row["dependent"], stays, here, row, maker),
            row["waits_in"],
        )
    for dependent, (parents, stays) in maker.waits.items():
        with translated():
            rows = await connection.fetch(statement("queues_of_jobs"), _ids(parents))
        told = {row["id"]: row for row in rows}
        for parent in _ids(parents):
            row = told.get(parent)
            here = parent in maker.live or parent in maker.ended
            here = here or (row is not None and row["queue"] == partition)
            yield _link(parent, dependent, stays, here, row, maker), partition


def _link(
    parent: str, dependent: str, stays: bool, here: bool, row: Any, maker: Maker
) -> Link | None:
    """`row`: what the tables say of the parent, if anything."""
    outcome = None
    if parent not in maker.live:
        outcome = maker.ended.get(parent)
        if outcome is None and row is not None:
            outcome = outcome_in(row["state"] or "", discarded=bool(row["discarded"]))
        if outcome is None:
            return None
    return Link(parent, dependent, stays, outcome, here)


def _ids(parents: list[str]) -> list[str]:
    return [parent for parent in parents if len(parent) == 36]  # without what stands for others
