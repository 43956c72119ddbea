"""Reading events of every version ever released.

A body written under an older schema carries no marker (schema 1) or ``"_v": n``. Upcasters are
pure steps dict → dict, one per version, applied on read; what stands in the log never changes.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import UnknownEvent, UnreadableEvent
from .events import KINDS, Event, Record

UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(event type, schema) → step to the next schema."""

_decoders = {name: msgspec.json.Decoder(kind).decode for name, kind in KINDS.items()}
_plain = msgspec.json.Decoder(dict[str, Any]).decode


def decode(record: Record) -> Event:
    """The event of a record. Raises UnknownEvent, or UnreadableEvent naming the position."""
    decoder = _decoders.get(record.type)
    if decoder is None:
        raise UnknownEvent(record.position, record.type)
    try:
        if KINDS[record.type].schema > 1:
            return msgspec.convert(_upcast(record.type, _plain(record.body)), KINDS[record.type])
        return decoder(record.body)
    except msgspec.MsgspecError as error:
        raise UnreadableEvent(record.position, record.type, str(error)) from error


def _upcast(name: str, body: dict[str, Any]) -> dict[str, Any]:
    for schema in range(body.pop("_v", 1), KINDS[name].schema):
        body = UPCASTERS[name, schema](body)
    return body
