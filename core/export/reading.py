"""Reading an export: its events in order, held to what the manifest says of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ..events import Record
from .formats import read_part
from .manifest import MANIFEST, ExportDamaged, FileEntry, Manifest, load


def read_export(
    folder: Path | str, queue: str | None = None, *, check: bool = True
) -> Iterator[Record]:
    """The events of an export, queue by queue, each in the order of its log; or of one queue.

    Constant memory. `check`: each file is first held to its hash. Raises ExportDamaged where a file
    is missing, or not what the manifest says.
    """
    folder = Path(folder)
    manifest = load(folder)
    if manifest is None:
        raise ExportDamaged(f"{folder}: expected a {MANIFEST}, got none")
    for file in manifest.files:
        if queue is None or file.queue == queue:
            yield from _events(folder, manifest, file, check)


def _events(folder: Path, manifest: Manifest, file: FileEntry, check: bool) -> Iterator[Record]:
    path = folder / file.name
    if Path(file.name).name != file.name:
        raise ExportDamaged(f"{folder / MANIFEST}: expected names of files, got: {file.name!r}")
    if check:
        _check_hash(path, file)
    count, seq = 0, file.first_seq - 1
    for record in read_part(path, manifest.format):
        if (record.partition, record.epoch) != (file.queue, file.epoch) or record.seq <= seq:
            raise ExportDamaged(
                f"{path}: expected an event of {file.queue}, epoch {file.epoch}, after seq {seq},"
                f" got: {record.position}"
            )
        count, seq = count + 1, record.seq
        yield record
    if (count, seq) != (file.count, file.last_seq):
        raise ExportDamaged(
            f"{path}: expected {file.count} events up to seq {file.last_seq},"
            f" got: {count} up to {seq}"
        )


def _check_hash(path: Path, file: FileEntry) -> None:
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ExportDamaged(f"{path}: {error.strerror}") from error
    if digest != file.sha256:
        raise ExportDamaged(f"{path}: expected sha256 {file.sha256}, got: {digest}")
