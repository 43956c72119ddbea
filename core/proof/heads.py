"""Segments of a log and the heads that stand for them, each committing to the one before.

What is hashed is a fixed text, then numbers of 8 bytes and lengths of 4 (big-endian), then the
texts themselves: one encoding for each value, and no value that can pass for another.
"""

import struct
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import NamedTuple

import msgspec

from ..errors import MillstreamError
from ..events import Record
from .merkle import leaf_hash

FIRST = bytes(32)
"""What the first head of a chain names as the one before."""

_EVENT = b"millstream.event.1\n"
_HEAD = b"millstream.head.1\n"
_event = struct.Struct(">qqqq5I").pack
_head = struct.Struct(">qqqqqI").pack


class UnreadableHead(MillstreamError):
    """A line that is no head of a segment."""


class Head(NamedTuple):
    """A segment of the log of one partition, and what it commits to.

    number    of the segment, from 1, without gaps
    first     seq of its first event
    last      seq of its last; all in between are in it
    root      Merkle root over its events
    previous  hash of the head before; FIRST where there is none
    sealed_at ms since 1970 by PostgreSQL's clock
    """

    partition: str
    number: int
    epoch: int
    first: int
    last: int
    root: bytes
    previous: bytes
    sealed_at: int

    @property
    def size(self) -> int:
        """How many events the segment has."""
        return self.last - self.first + 1

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        partition = self.partition.encode()
        numbers = (self.number, self.epoch, self.first, self.last, self.sealed_at)
        return b"".join(
            (_HEAD, _head(*numbers, len(partition)), partition, self.root, self.previous)
        )

    def digest(self) -> bytes:
        """The hash by which the next head names this one."""
        return sha256(self.encoded()).digest()


class SignedHead(NamedTuple):
    """A head, who signed it (`signing.key_id`), and the 64 bytes of the signature.

    `leaves`: the hashes of the segment's events one after another, where they are known; they
    are not signed, since the root commits to them.
    """

    head: Head
    key: str
    signature: bytes
    leaves: bytes = b""


class HeadLine(msgspec.Struct, omit_defaults=True):
    """A signed head as JSON: hashes in hexadecimal, signature and leaves in base64."""

    partition: str
    number: int
    epoch: int
    first: int
    last: int
    root: str
    previous: str
    sealed_at: int
    key: str
    signature: str
    leaves: str = ""


def event_hash(record: Record) -> bytes:
    """The leaf of an event: its whole envelope and the exact bytes of its body."""
    texts = (
        record.partition.encode(),
        record.entry.encode(),
        record.type.encode(),
        record.job.encode(),
        record.body,
    )
    numbers = (record.epoch, record.seq, record.version, record.time)
    return leaf_hash(b"".join((_EVENT, _event(*numbers, *map(len, texts)), *texts)))


def line_of(signed: SignedHead) -> HeadLine:
    """A signed head as it is written."""
    head = signed.head
    return HeadLine(
        head.partition,
        head.number,
        head.epoch,
        head.first,
        head.last,
        head.root.hex(),
        head.previous.hex(),
        head.sealed_at,
        signed.key,
        b64encode(signed.signature).decode(),
        b64encode(signed.leaves).decode(),
    )


def read_head(line: bytes | str) -> SignedHead:
    """The head of one line of JSON. Raises UnreadableHead."""
    try:
        given = msgspec.json.decode(line, type=HeadLine)
        head = Head(
            given.partition,
            given.number,
            given.epoch,
            given.first,
            given.last,
            _hash(given.root),
            _hash(given.previous),
            given.sealed_at,
        )
        head.encoded()
        signature = b64decode(given.signature, validate=True)
        return SignedHead(head, given.key, signature, b64decode(given.leaves, validate=True))
    except (msgspec.MsgspecError, UnicodeError, ValueError, struct.error) as error:
        raise UnreadableHead(f"expected a signed head as JSON, got: {line[:80]!r} ({error})") from (
            error
        )


def _hash(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != 32:
        raise ValueError(f"expected a hash of 32 bytes, got {len(found)}")
    return found
