"""An event as a row of an export, and back: all of the envelope, and the body byte for byte."""

from base64 import b64decode, b64encode
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..events import Record

COLUMNS = ("partition", "seq", "epoch", "type", "job", "version", "time", "entry")
"""The envelope, in the order of rows."""

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder().decode


class Body(NamedTuple):
    """A body as text, or what is no text as base64."""

    text: str | None
    base64: str | None


class _Head(Struct, gc=False):
    partition: str
    seq: int
    epoch: int
    type: str
    job: str
    version: int
    time: int
    entry: str


class _Line(_Head, gc=False, forbid_unknown_fields=True):
    body: msgspec.Raw | UnsetType = UNSET
    body_text: str | UnsetType = UNSET
    body_base64: str | UnsetType = UNSET


_line = msgspec.json.Decoder(_Line).decode


def line_of(record: Record) -> bytes:
    """A JSON line.

    `body` is the body itself, as it was written. A body that would not survive that (one of several
    lines, with space around it, or no JSON) is the string `body_text`; one that is no UTF-8,
    `body_base64`.
    """
    body = record.body
    if _embeds(body):
        field = b'"body":' + body
    else:
        told = body_of(body)
        field = (
            b'"body_base64":' + _encode(told.base64)
            if told.text is None
            else b'"body_text":' + _encode(told.text)
        )
    head = _encode(_Head(*(getattr(record, name) for name in COLUMNS)))
    return head[:-1] + b"," + field + b"}\n"


def record_of(line: bytes) -> Record:
    """The event of a JSON line. Raises ValueError."""
    found = _line(line)
    if found.body is not UNSET:
        body = bytes(found.body)
    elif found.body_text is not UNSET:
        body = found.body_text.encode()
    elif found.body_base64 is not UNSET:
        body = b64decode(found.body_base64, validate=True)
    else:
        raise ValueError("expected a body, got none")
    return Record(
        found.partition, found.seq, found.epoch, found.type, found.job, found.version, body,
        found.time, found.entry,
    )  # fmt: skip


def body_of(body: bytes) -> Body:
    """A body as tables hold it."""
    try:
        return Body(body.decode(), None)
    except UnicodeDecodeError:
        return Body(None, b64encode(body).decode())


def bytes_of(text: str | None, base64: str | None) -> bytes:
    """The body of a row of a table. Raises ValueError."""
    return b64decode(base64, validate=True) if base64 else (text or "").encode()


def _embeds(body: bytes) -> bool:
    if b"\n" in body or b"\r" in body or body != body.strip():
        return False
    try:
        _any(body)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
