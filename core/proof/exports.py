"""Reads what was exported: events as JSON lines, and heads as JSON lines."""

import gzip
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from ..errors import MillstreamError
from ..events import Record
from .heads import SignedHead, UnreadableHead, read_head

_record = msgspec.json.Decoder(Record).decode


class UnreadableExport(MillstreamError):
    """A file that is no export: names the file and the line."""


def read_events(path: Path) -> Iterator[Record]:
    """The events of an export, in its order; `path` may end in .gz. Raises UnreadableExport.

    A line is an object with the fields of `Record`: the envelope, `body` in base64.
    """
    for number, line in _lines(path):
        try:
            yield _record(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise UnreadableExport(
                f"{path}, line {number}: expected an exported event, got: {line[:60]!r} ({error})"
            ) from error


def read_heads(path: Path) -> Iterator[SignedHead]:
    """Heads, as the sealer and `millstream proof-heads` write them. Raises UnreadableExport."""
    for number, line in _lines(path):
        try:
            yield read_head(line)
        except UnreadableHead as error:
            raise UnreadableExport(f"{path}, line {number}: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with _opened(path) as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
        except (OSError, EOFError) as error:
            raise UnreadableExport(f"{path}, after line {number}: {error}") from error


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableExport(f"{path}: {error.strerror}") from error
    with file:
        yield io.BufferedReader(gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
