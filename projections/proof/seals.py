"""Reading seals: the heads there are, and the proof of one event. Errors: Unavailable."""

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from ...core.events import Record
from ...core.proof.heads import Head, SignedHead, event_hash
from ...core.proof.merkle import SIZE, inclusion_path
from ..connection import translated
from ..rows import read_record
from ..statements import statement

PAGE = 500


class Proof(NamedTuple):
    """That an event is in a segment.

    leaf    the hash that was sealed
    at      of the event in its segment, from 0
    path    from the leaf to the root of the head, the lowest first
    intact  whether the archive still holds what was sealed
    """

    record: Record
    leaf: bytes
    at: int
    path: list[bytes]
    signed: SignedHead
    intact: bool


def read_seal(row: Any) -> SignedHead:
    """The signed head of a row of `seals`."""
    head = Head(
        row["partition"],
        row["number"],
        row["epoch"],
        row["first_seq"],
        row["last_seq"],
        row["root"],
        row["previous"],
        row["sealed_at"],
    )
    return SignedHead(head, row["key"], row["signature"], row["leaves"])


async def seals(
    connection: Any, partition: str, after: int = 0, *, leaves: bool = False
) -> AsyncGenerator[SignedHead]:
    """The heads of a partition after a number, in order."""
    page = 20 if leaves else PAGE
    while True:
        with translated():
            rows = await connection.fetch(statement("seals_after"), partition, after, page, leaves)
        for row in rows:
            yield read_seal(row)
        if len(rows) < page:
            return
        after = rows[-1]["number"]


async def archived(connection: Any, partition: str, epoch: int, seq: int) -> Record | None:
    """The archived event of a position."""
    with translated():
        row = await connection.fetchrow(statement("epoch_events"), partition, epoch, seq - 1, 1)
    return None if row is None or row["seq"] != seq else read_record(row)


async def prove(connection: Any, record: Record) -> Proof | None:
    """The proof of an archived event; None if it is not sealed yet."""
    with translated():
        row = await connection.fetchrow(
            statement("seal_of_event"), record.partition, record.epoch, record.seq
        )
    if row is None or row["last_seq"] < record.seq:
        return None
    signed, at = read_seal(row), record.seq - row["first_seq"]
    leaves = [signed.leaves[n : n + SIZE] for n in range(0, len(signed.leaves), SIZE)]
    leaf, path = leaves[at], inclusion_path(leaves, at)
    intact = leaf == event_hash(record)
    return Proof(record, leaf, at, path, signed._replace(leaves=b""), intact)
