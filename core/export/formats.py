"""The formats of a part of an export. It is written once, from its first event to its last."""

import csv
import hashlib
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..events import Record
from . import parquet
from .manifest import ExportDamaged, FileEntry, settle
from .rows import COLUMNS, body_of, bytes_of, line_of, record_of

Format = Literal["jsonl", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "parquet")

TABLE = (*COLUMNS, "body", "body_base64")
"""Columns of CSV and Parquet."""


_Write = Callable[[Record], int]
"""Writes an event; how many bytes that took, about."""


class Part:
    """A file on its way: it has another name until `finish` has brought all of it to the disk."""

    def __init__(self, folder: Path, name: str, format: Format) -> None:
        self._path = folder / name
        self._draft = folder / f"{name}.part"
        self._open = WRITERS[format](self._draft)
        self._write = self._open.__enter__()
        self._first: Record | None = None
        self._last: Record | None = None
        self.count = 0
        self.bytes = 0

    @property
    def epoch(self) -> int | None:
        """Of its events; None while it has none."""
        return None if self._last is None else self._last.epoch

    def add(self, record: Record) -> None:
        """One more event, of the same queue and epoch as those before."""
        self.bytes += self._write(record)
        self.count += 1
        self._first = self._first or record
        self._last = record

    def finish(self) -> FileEntry:
        """Close it under its own name."""
        assert self._first is not None
        assert self._last is not None
        self._open.__exit__(None, None, None)
        with self._draft.open("rb+") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        settle(self._draft, self._path)
        first, last = self._first, self._last
        return FileEntry(
            name=self._path.name,
            queue=last.partition,
            epoch=last.epoch,
            first_seq=first.seq,
            last_seq=last.seq,
            count=self.count,
            first_time=first.time,
            last_time=last.time,
            last_entry=last.entry,
            bytes=self._path.stat().st_size,
            sha256=digest,
        )


def read_part(path: Path, format: Format) -> Iterator[Record]:
    """The events of a file, in order. Raises ExportDamaged."""
    try:
        yield from READERS[format](path)
    except (ValueError, msgspec.MsgspecError, OSError, csv.Error) as error:
        raise ExportDamaged(f"{path}: {error}") from error


@contextmanager
def _jsonl_writer(path: Path) -> Generator[_Write]:
    with path.open("wb", buffering=1 << 20) as file:
        yield lambda record: file.write(line_of(record))


def _jsonl_reader(path: Path) -> Iterator[Record]:
    with path.open("rb", buffering=1 << 20) as file:
        number = 0
        try:
            for number, record in enumerate(map(record_of, file), 1):  # noqa: B007 (told below)
                yield record
        except (ValueError, msgspec.MsgspecError) as error:
            raise ExportDamaged(f"{path}, line {number + 1}: {error}") from error


@contextmanager
def _csv_writer(path: Path) -> Generator[_Write]:
    with path.open("w", encoding="utf-8", newline="", buffering=1 << 20) as file:
        writer = csv.writer(file)  # with CRLF: it quotes what holds either of its line's ends
        writer.writerow(TABLE)
        yield lambda record: writer.writerow(_row(record))


def _row(record: Record) -> tuple[Any, ...]:
    return (*(getattr(record, name) for name in COLUMNS), *body_of(record.body))


def _csv_reader(path: Path) -> Iterator[Record]:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="", buffering=1 << 20) as file:
        rows = csv.reader(file, strict=True)
        if tuple(next(rows, ())) != TABLE:
            raise ValueError(f"expected the columns {', '.join(TABLE)}")
        yield from map(_record, rows)


def _record(row: Any) -> Record:
    """The event of a row of a table."""
    partition, seq, epoch, type_, job, version, time, entry, text, base64 = row
    return Record(
        partition, int(seq), int(epoch), type_, job, int(version), bytes_of(text, base64),
        int(time), entry,
    )  # fmt: skip


@contextmanager
def _parquet_writer(path: Path) -> Generator[_Write]:
    with parquet.writing(path) as write:
        yield write


def _parquet_reader(path: Path) -> Iterator[Record]:
    yield from map(_record, parquet.rows(path, TABLE))


WRITERS: dict[Format, Callable[[Path], Any]] = {
    "jsonl": _jsonl_writer,
    "csv": _csv_writer,
    "parquet": _parquet_writer,
}
READERS: dict[Format, Callable[[Path], Iterator[Record]]] = {
    "jsonl": _jsonl_reader,
    "csv": _csv_reader,
    "parquet": _parquet_reader,
}
