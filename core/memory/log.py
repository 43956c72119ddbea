"""The log: what happened, in order."""

from __future__ import annotations

from typing import Any

from ..codec import encode
from ..events import Record
from .clock import Clock

EPOCH = 1


class Log(list[Record]):
    """All records of a partition; the seq of a record is its place, from 1."""

    def __init__(self, partition: str, clock: Clock) -> None:
        super().__init__()
        self._partition = partition
        self._clock = clock

    @property
    def seq(self) -> int:
        """Seq of the last record."""
        return len(self)

    def add(self, type: str, job: str, version: int, body: bytes) -> None:
        """Append one."""
        now, nth = self._clock.now, 0
        if self and self[-1].time == now:
            nth = int(self[-1].entry.partition("-")[2]) + 1
        seq = self.seq + 1
        self.append(
            Record(self._partition, seq, EPOCH, type, job, version, body, now, f"{now}-{nth}")
        )


def said(**members: Any) -> bytes:
    """A body."""
    return encode(members)


def joined(body: bytes, **members: Any) -> bytes:
    """A body with further members at its end."""
    more = encode(members)
    return more if body == b"{}" else body[:-1] + b"," + more[1:]
