"""Reading the event logs of partitions, in order and without gaps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .connection import translated
from .errors import LogGap
from .events import Record
from .keys import Keys

START = "0-0"


class Head(NamedTuple):
    """Where a log stands: its epoch, its last seq, and how far the archive has it.

    lost  why it was halted and waits for a restore; None: it is fine, as far as it can tell
    """

    epoch: int
    seq: int
    archived: int
    lost: str | None = None


def read_entry(partition: str, entry: bytes, fields: Sequence[bytes]) -> Record:
    """The record of one stream entry, fields in the order log.lua writes them."""
    stamp = entry.decode()
    return Record(
        partition,
        int(fields[1]),
        int(fields[3]),
        fields[5].decode(),
        fields[7].decode(),
        int(fields[9]),
        fields[11],
        int(stamp[:-2]) if stamp[-2] == "-" else int(stamp[: stamp.index("-")]),
        stamp,
    )


class LogReader:
    """Reads logs over a client whose timeout allows for the block."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def read(
        self, after: Mapping[str, str], count: int, block_ms: int | None = None
    ) -> dict[str, list[Record]]:
        """Records after the given stream ids, at most `count` of each partition.

        Waits up to `block_ms` when there are none. Raises Unavailable.
        """
        if not after:
            return {}
        args: list[Any] = ["COUNT", count]
        if block_ms is not None:
            args += ("BLOCK", block_ms)
        keys = [self._keys.log(partition) for partition in after]
        with translated():
            reply = await self._redis.execute_command(
                "XREAD", *args, "STREAMS", *keys, *after.values()
            )
        found: dict[str, list[Record]] = {}
        for key, entries in _streams(reply):
            partition = self._keys.partition_of(key.decode())
            found[partition] = [read_entry(partition, *entry) for entry in entries]
        return found

    async def range(
        self, partition: str, start: str = "-", stop: str = "+", count: int = 1000
    ) -> list[Record]:
        """Records between two stream ids, both included; ``(id`` excludes one."""
        with translated():
            entries = await self._redis.execute_command(
                "XRANGE", self._keys.log(partition), start, stop, "COUNT", count
            )
        return [read_entry(partition, *entry) for entry in entries]

    async def last(self, partition: str) -> Record | None:
        """The last record of the stream; None if it holds none."""
        with translated():
            entries = await self._redis.execute_command(
                "XREVRANGE", self._keys.log(partition), "+", "-", "COUNT", 1
            )
        return read_entry(partition, *entries[0]) if entries else None

    async def head(self, partition: str) -> Head:
        """Where the log stands; epoch 1, seq 0 if it was never used."""
        with translated():
            epoch, seq, archived, lost = await self._redis.hmget(
                self._keys.meta(partition), "epoch", "seq", "archived", "lost"
            )
        told = None if lost is None else lost.decode()
        return Head(int(epoch or 1), int(seq or 0), int(archived or 0), told)


def _streams(reply: Any) -> Any:
    if not reply:
        return ()
    return reply.items() if isinstance(reply, dict) else reply


def check_contiguous(records: Sequence[Record], after_seq: int) -> None:
    """Raise LogGap unless `records` go on right after `after_seq`."""
    expected = after_seq + 1
    for record in records:
        if record.seq != expected:
            raise LogGap(record.partition, expected, record.seq)
        expected += 1
