"""Reading events of every version ever released.

A body written under an older schema carries no marker (schema 1) or ``"_v": n``. Upcasters are
pure steps dict → dict, one per version, applied on read; what stands in the log never changes.
A payload or result is not taken apart on the way: it stays the bytes it is, as `msgspec.Raw`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from .codec import encode
from .errors import UnknownEvent, UnreadableEvent
from .events import KINDS, Event, Record

UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(event type, schema) → step to the next schema."""

_decoders = {name: msgspec.json.Decoder(kind).decode for name, kind in KINDS.items()}
_FAULTS = (msgspec.MsgspecError, RecursionError, LookupError, TypeError, ValueError)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ENCRYPTED = frozenset({"payload", "result"})


class _Marker(msgspec.Struct):
    schema: int = msgspec.field(name="_v", default=1)


_marker = msgspec.json.Decoder(_Marker).decode


def decode(record: Record) -> Event:
    """The event of a record. Raises UnknownEvent, or UnreadableEvent naming the position."""
    decoder = _decoders.get(record.type)
    if decoder is None:
        raise UnknownEvent(record.position, record.type)
    try:
        if KINDS[record.type].schema > 1:
            return decoder(_upcast(record.type, record.body))
        return decoder(record.body)
    except _FAULTS as error:
        raise UnreadableEvent(record.position, record.type, str(error)) from error


def _upcast(name: str, raw: bytes) -> bytes:
    written, known = _marker(raw).schema, KINDS[name].schema
    if written >= known:
        return raw
    body: dict[str, Any] = {
        field: value if field in _ENCRYPTED else msgspec.json.decode(value)
        for field, value in _fields(raw).items()
    }
    for schema in range(written, known):
        body = UPCASTERS[name, schema](body)
    return encode(body)
