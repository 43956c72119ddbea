"""Seals what is archived: reads it back, hashes it, signs a head over each segment."""

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import structlog

from ...core.events import Record
from ...core.proof.heads import FIRST, Head, event_hash
from ...core.proof.merkle import root
from ...core.proof.signing import Signer
from ..connection import connect_once, translated
from ..rows import read_record
from ..statements import statement
from ..tables import STATEMENT_TIMEOUT

PAGE = 1000

log = structlog.get_logger("millstream.sealer")


class End(NamedTuple):
    """How far a partition is archived, and its last head. `now`: ms since 1970."""

    partition: str
    epoch: int
    seq: int
    head: Head | None
    now: int


class Sealer:
    """Makes heads over one connection of its own, made again after any trouble.

    segment   most events of a segment
    interval  seconds after which a segment is closed though it is not full
    """

    def __init__(self, dsn: str, signer: Signer, *, segment: int, interval: float) -> None:
        self._dsn = dsn
        self._signer = signer
        self._segment = segment
        self._interval_ms = interval * 1000
        self._connection: Any = None
        self._gaps: set[tuple[str, int, int]] = set()

    async def open(self) -> Any:
        """The connection. Raises Unavailable."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect_once(
                self._dsn, timeout=STATEMENT_TIMEOUT, role="sealer"
            )
        return self._connection

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def turn(self) -> int:
        """Seal all that is to be sealed now; how many heads were made. Raises Unavailable."""
        made = 0
        for row in await self._fetch("seal_ends"):
            end = _read_end(row)
            while (end := await self._seal(end)) is not None:
                made += 1
        return made

    async def _seal(self, end: End) -> End | None:
        """Make the next head of a partition; None if there is none to be made."""
        epoch, after = await self._start(end)
        if epoch is None or not await self._due(end, epoch, after):
            return None
        first, leaves = 0, list[bytes]()
        async for record in self._records(end.partition, epoch, after):
            if not leaves:
                first = record.seq
            elif record.seq != first + len(leaves):
                break
            leaves.append(event_hash(record))
        if not leaves:
            return None
        self._note_gap(end, epoch, after, first)
        return await self._add(end, epoch, first, leaves)

    async def _start(self, end: End) -> tuple[int | None, int]:
        """Epoch and seq after which the next segment begins."""
        if end.head is not None:
            epoch, after = end.head.epoch, end.head.last
            if (epoch, after) >= (end.epoch, end.seq):
                return None, 0  # the common case, for which nothing more is asked
            if await self._fetch("epoch_events", end.partition, epoch, after, 1):
                return epoch, after
        else:
            epoch = 0
        found = await self._fetch("next_epoch", end.partition, epoch)
        return (found[0]["epoch"], 0) if found else (None, 0)

    async def _due(self, end: End, epoch: int, after: int) -> bool:
        """Whether a segment is full, its epoch over, or its first event has waited long enough."""
        if epoch < end.epoch or end.seq - after >= self._segment:
            return True
        (oldest,) = await self._fetch("epoch_events", end.partition, epoch, after, 1)
        return end.now - oldest["time"] >= self._interval_ms

    async def _records(self, partition: str, epoch: int, after: int) -> AsyncGenerator[Record]:
        """At most a segment of archived events."""
        left = self._segment
        while left:
            rows = await self._fetch("epoch_events", partition, epoch, after, min(PAGE, left))
            for row in rows:
                yield read_record(row)
            if not rows:
                return
            after = rows[-1]["seq"]
            left -= len(rows)

    async def _add(self, end: End, epoch: int, first: int, leaves: list[bytes]) -> End | None:
        number, previous = (1, FIRST) if end.head is None else (
            end.head.number + 1, end.head.digest()
        )  # fmt: skip
        last = first + len(leaves) - 1
        head = Head(end.partition, number, epoch, first, last, root(leaves), previous, end.now)
        signed = self._signer.sign(head, b"".join(leaves))
        connection = await self.open()
        with translated():
            done = await connection.execute(
                statement("add_seal"), *head, signed.key, signed.signature,
                signed.leaves,
            )  # fmt: skip
        # Another sealer may have been first: its head is as good, and the next turn reads it.
        return end._replace(head=head) if done == "INSERT 0 1" else None

    def _note_gap(self, end: End, epoch: int, after: int, first: int) -> None:
        key = end.partition, epoch, first
        if first != after + 1 and key not in self._gaps and end.head is not None:
            self._gaps.add(key)
            log.error(
                "ALARM proof.gap: the archive lacks events; the heads will say so",
                partition=end.partition,
                epoch=epoch,
                expected=after + 1,
                found=first,
            )

    async def _fetch(self, name: str, *args: Any) -> list[Any]:
        connection = await self.open()
        try:
            with translated():
                return await connection.fetch(statement(name), *args)
        except BaseException:
            self.close()
            raise


def _read_end(row: Any) -> End:
    head = None
    if row["number"] is not None:
        head = Head(
            row["partition"],
            row["number"],
            row["sealed_epoch"],
            row["first_seq"],
            row["last_seq"],
            row["root"],
            row["previous"],
            row["sealed_at"],
        )
    return End(row["partition"], row["epoch"], row["seq"], head, row["now"])
