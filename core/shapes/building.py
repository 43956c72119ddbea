"""From a shape to a type that takes the same."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta, Raw

from .shape import ANY, Shape, Told

_KINDS: Mapping[str, Any] = {
    "null": None,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "datetime": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": uuid.UUID,
    "decimal": Decimal,
}
_BOUNDS = {"gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "multiple_of": "multiple_of",
           "least": "min_length", "most": "max_length", "tz": "tz"}  # fmt: skip


def type_of(told: Told) -> Any:
    """The type of a shape; `Raw`, which takes anything, if there is no such type."""
    found = _Building(told).type(told.shape)
    try:
        msgspec.json.Decoder(found)
    except (TypeError, ValueError):
        return Raw
    return found


class _Building:
    """One shape and the parts that are made already; None: one that is being made."""

    def __init__(self, told: Told) -> None:
        self._parts = told.parts
        self._made: dict[int, Any] = {}

    def type(self, shape: Shape) -> Any:
        if shape.kind == "part":
            return self._part(shape.part)
        bounds = {name: getattr(shape, field) for field, name in _BOUNDS.items()
                  if getattr(shape, field) is not None}  # fmt: skip
        found = self._plain(shape)
        if not bounds or found is Raw:
            return found
        return Annotated[found, Meta(**bounds)]

    def _plain(self, shape: Shape) -> Any:
        items = [self.type(one) for one in shape.items]
        match shape.kind:
            case "literal" if shape.values:
                return Literal[shape.values]
            case "list" if len(items) == 1:
                return list[items[0]]
            case "tuple":
                return tuple[tuple(items)]
            case "dict" if len(items) == 2:
                return dict[items[0], items[1]]
            case "union" if items:
                # Anything, or this and that, is anything.
                return Raw if Raw in items else Union[tuple(items)]  # noqa: UP007
            case kind:
                return _KINDS.get(kind, Raw)

    def _part(self, place: int) -> Any:
        """A part; `Raw` within itself: so deep it is not looked into."""
        if place not in self._made:
            self._made[place] = Raw
            known = 0 <= place < len(self._parts) and self._parts[place].kind != ANY
            self._made[place] = self._struct(self._parts[place], place) if known else Raw
        return self._made[place]

    def _struct(self, shape: Shape, place: int) -> Any:
        if shape.kind not in ("object", "array"):
            return Raw
        names = {f"f{place}": field.name for place, field in enumerate(shape.fields)}
        fields: list[Any] = []
        for name, field in zip(names, shape.fields, strict=True):
            kind = self.type(field.shape)
            fields.append((name, kind) if field.required else (name, kind, None))
        return msgspec.defstruct(
            f"Part{place}", fields, rename=names, kw_only=True, gc=False,
            tag_field=shape.tag_field, tag=shape.tag, array_like=shape.kind == "array",
            forbid_unknown_fields=shape.closed,
        )  # fmt: skip
