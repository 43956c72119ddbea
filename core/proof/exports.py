"""What a verifier reads: the events of an export, whatever became of it, and files of heads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..errors import MillstreamError
from ..events import Record
from ..export import FORMATS, ExportDamaged, Manifest, load, read_part
from .heads import SignedHead, UnreadableHead, read_head
from .verifier import Span

EVERYTHING = Span((0, 0), (2**31, 2**63))


class UnreadableFile(MillstreamError):
    """A file that holds none of what was expected: names the file, and the line."""


class Expected(NamedTuple):
    """What must be in an export by its own word.

    spans   partition → its part of the log; None: all of every partition
    before  heads made after this (ms since 1970) are of events it may not have; None: all are not
    dropped partition → ranges of seqs, both ends included, that it says were dropped for their age
    """

    spans: dict[str, Span] | None = None
    before: int | None = None
    dropped: Mapping[str, list[tuple[int, int]]] = MappingProxyType({})


def read_events(path: Path) -> Iterator[Record]:
    """The events of an export (a folder, or one file of it) in its order, as they are now: files
    are not held to their hashes, since what was changed in them is to be named.

    Raises ExportDamaged where one cannot be read at all.
    """
    manifest = load(path) if path.is_dir() else None
    if manifest is not None:
        for file in manifest.files:
            yield from read_part(path / Path(file.name).name, manifest.format)
        return
    for format_ in FORMATS:
        if path.suffix == f".{format_}" and path.is_file():
            yield from read_part(path, format_)
            return
    endings = ", ".join(f".{each}" for each in FORMATS)
    raise ExportDamaged(f"expected a folder with a manifest.json, or a file {endings}, got: {path}")


def expected_of(path: Path) -> Expected:
    """What the manifest of an export promises; of a lone file, all. Raises ExportDamaged."""
    manifest = load(path) if path.is_dir() else None
    if manifest is None:
        return Expected()
    asked = manifest.span
    dropped = {
        queue.queue: [(gap.after_seq + 1, gap.before_seq - 1) for gap in queue.gaps if gap.dropped]
        for queue in manifest.queues
    }
    if asked.begin is not None or asked.end is not None:
        return Expected(_files(manifest), manifest.started_at, dropped)
    spans = dict.fromkeys(asked.queues, EVERYTHING) if asked.queues else None
    return Expected(spans, manifest.started_at, dropped)


def _files(manifest: Manifest) -> dict[str, Span]:
    """From the first event of the files of each queue to the last."""
    spans: dict[str, Span] = {}
    for file in manifest.files:
        first = spans[file.queue].first if file.queue in spans else (file.epoch, file.first_seq)
        spans[file.queue] = Span(first, (file.epoch, file.last_seq))
    return spans


def read_heads(path: Path) -> Iterator[SignedHead]:
    """Heads, as the sealer and `millstream proof-heads` write them. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _head(path, number, line)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error


def _head(path: Path, number: int, line: bytes) -> SignedHead:
    try:
        return read_head(line)
    except UnreadableHead as error:
        raise UnreadableFile(f"{path}, line {number}: {error}") from error
