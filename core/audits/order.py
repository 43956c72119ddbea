"""Audits the order of logs: seqs without gaps, epochs and stream ids that only rise."""

from __future__ import annotations

from typing import NamedTuple

from .. import events as ev
from .report import Report


class Place(NamedTuple):
    """Where in a log the last record stood; `entry`: None if that is not known."""

    epoch: int
    seq: int
    entry: str | None = None


class Order:
    """Takes the records of any number of partitions, each partition's in their order.

    late  partitions whose log does not begin with seq 1
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last: dict[str, Place] = {}
        self.late: set[str] = set()

    @property
    def begun(self) -> bool:
        """Whether any record was taken."""
        return bool(self._last)

    def begin_after(self, partition: str, epoch: int, seq: int) -> None:
        """Expect of a partition what follows this event."""
        self._last[partition] = Place(epoch, seq)

    def take(self, record: ev.Record) -> None:
        """Audit one more record."""
        last = self._last.get(record.partition)
        self._last[record.partition] = Place(record.epoch, record.seq, record.entry)
        add, at = self._report.add, record.position
        if last is None:
            if record.seq != 1:
                self.late.add(record.partition)
                add("log-starts-late", at, f"expected seq 1, got {record.seq}")
            return
        if record.epoch < last.epoch:
            add("epoch-went-back", at, f"expected epoch {last.epoch} or more, got {record.epoch}")
        if record.epoch > last.epoch and record.type != ev.QueueRestored.name:
            add("epoch-unexplained", at, f"expected queue.restored, got {record.type}")
        if record.seq <= last.seq and record.epoch >= last.epoch:
            add("seq-repeated", at, f"expected seq {last.seq + 1}, got {record.seq}")
        if record.seq > last.seq + 1:
            add("seq-gap", at, f"expected seq {last.seq + 1}, got {record.seq}")
        if last.entry is None or record.epoch != last.epoch:
            return
        if _entry(record.entry) <= _entry(last.entry):
            add("entry-order", at, f"expected a stream id after {last.entry}, got {record.entry}")


def _entry(text: str) -> tuple[int, int]:
    ms, n = text.split("-")
    return int(ms), int(n)
