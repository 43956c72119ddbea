"""What an export holds, as its manifest says it."""

import os
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from ..errors import MillstreamError

MANIFEST = "manifest.json"
VERSION = 1


class ExportDamaged(MillstreamError):
    """A file of an export is not what its manifest says."""


class ExportUnfit(MillstreamError):
    """A folder in which this export cannot be made, or go on."""


class Span(Struct, forbid_unknown_fields=True):
    """What was asked for: queues (none: all there were), and events from `begin` to before `end`
    (ms since 1970; None: no such bound)."""

    queues: list[str] = []
    begin: int | None = None
    end: int | None = None


class Gap(Struct, forbid_unknown_fields=True):
    """Events that are not kept anywhere: those between two seq, both of which are not in it."""

    after_seq: int
    before_seq: int

    @property
    def missing(self) -> int:
        """How many events."""
        return self.before_seq - self.after_seq - 1


class QueueExport(Struct, forbid_unknown_fields=True):
    """A queue: exported up to the event `until_seq`, which was its last when the export began."""

    queue: str
    until_seq: int
    done: bool = False
    gaps: list[Gap] = []


class FileEntry(Struct, forbid_unknown_fields=True):
    """A file: events of one queue and one epoch, in order. Times are ms since 1970.

    last_entry  stream id of the last event
    sha256      of the whole file, hexadecimal
    """

    name: str
    queue: str
    epoch: int
    first_seq: int
    last_seq: int
    count: int
    first_time: int
    last_time: int
    last_entry: str
    bytes: int
    sha256: str


class Manifest(Struct, forbid_unknown_fields=True):
    """The whole export. `complete`: all that was asked for is in it, but for the gaps it names."""

    version: int
    format: Literal["jsonl", "csv", "parquet"]
    namespace: str
    span: Span
    started_at: int
    queues: list[QueueExport]
    files: list[FileEntry] = []
    complete: bool = False

    def files_of(self, queue: str) -> list[FileEntry]:
        """The files of a queue, in order."""
        return [file for file in self.files if file.queue == queue]


_decode = msgspec.json.Decoder(Manifest).decode


def load(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if it has none. Raises ExportDamaged."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = _decode(text)
    except msgspec.MsgspecError as error:
        raise ExportDamaged(f"{folder / MANIFEST}: {error}") from None
    if found.version != VERSION:
        raise ExportDamaged(
            f"{folder / MANIFEST}: expected version {VERSION}, got: {found.version}"
        )
    return found


def store(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the one before, so that either is whole after a crash."""
    draft = folder / f"{MANIFEST}.part"
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    settle(draft, folder / MANIFEST)


def settle(draft: Path, path: Path) -> None:
    """Give a file that is on the disk its name, and make that last, too."""
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
