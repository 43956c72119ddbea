"""From a type to its shape."""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from .shape import ANY, Field, Shape, Told

_PLAIN: Mapping[type, str] = {
    inspect.NoneType: "null",
    inspect.BoolType: "bool",
    inspect.DateType: "date",
    inspect.TimeDeltaType: "duration",
    inspect.UUIDType: "uuid",
    inspect.DecimalType: "decimal",
}
_ANYTHING = Shape(ANY)
_KEYS = frozenset({"str", "int", "float", "bytes", "datetime", "date", "time", "duration", "uuid",
                   "decimal", "literal"})  # fmt: skip
"""What a key of an object can be told as."""


def document_of(types: Mapping[str, Any]) -> bytes:
    """The shapes of the payload types (any for Any) that job types have; empty if none says any."""
    told = {name: tell(kind) for name, kind in sorted(types.items()) if kind is not Any}
    told = {name: one for name, one in told.items() if one.shape != _ANYTHING}
    return msgspec.json.encode(told) if told else b""


def tell(kind: Any) -> Told:
    """The shape of a type that msgspec can decode."""
    try:
        return _Telling().told(inspect.type_info(kind))
    except Exception:  # what cannot be looked into must keep no worker from its work
        return Told(_ANYTHING)


class _Telling:
    """One type and the parts that were met in it."""

    def __init__(self) -> None:
        self._parts: list[Shape | None] = []
        self._places: dict[int, int] = {}

    def told(self, found: inspect.Type) -> Told:
        shape = self._shape(found)
        return Told(shape, tuple(part or _ANYTHING for part in self._parts))

    def _shape(self, found: inspect.Type) -> Shape:
        match found:
            case inspect.Metadata():  # what it adds to a schema is told to people, not held against
                return self._shape(found.type)
            case inspect.IntType() | inspect.FloatType():
                kind = "int" if isinstance(found, inspect.IntType) else "float"
                return Shape(kind, found.gt, found.ge, found.lt, found.le, found.multiple_of)
            case inspect.StrType():
                # Without its pattern: a regular expression can take for ever on what a client
                # sends, and here it would hold up all other clients.
                return Shape("str", least=found.min_length, most=found.max_length)
            case inspect.BytesType():
                return Shape("bytes", least=found.min_length, most=found.max_length)
            case inspect.DateTimeType():
                return Shape("datetime", tz=found.tz)
            case inspect.TimeType():
                return Shape("time", tz=found.tz)
            case inspect.LiteralType():
                return Shape("literal", values=tuple(found.values))
            case inspect.EnumType():
                return _enum(found.cls)
            case inspect.UnionType():
                return _union(map(self._shape, found.types))
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
                return self._part(found)
            case inspect.NamedTupleType():
                return self._part(found)
            case _:
                return self._collection(found)

    def _collection(self, found: inspect.Type) -> Shape:
        match found:
            case inspect.ListType() | inspect.VarTupleType():
                items = (self._shape(found.item_type),)
                return Shape("list", items=items, least=found.min_length, most=found.max_length)
            case inspect.SetType() | inspect.FrozenSetType():
                # Its bound is for what is left when doubles are gone: more of them may come.
                return Shape("list", items=(self._shape(found.item_type),), least=found.min_length)
            case inspect.TupleType():
                return Shape("tuple", items=tuple(map(self._shape, found.item_types)))
            case inspect.DictType():
                key, most = self._shape(found.key_type), found.max_length
                if key.kind not in _KEYS:  # of the keys that come, some may be the same one then
                    key, most = Shape("str"), None
                items = (key, self._shape(found.value_type))
                return Shape("dict", items=items, least=found.min_length, most=most)
            case _:
                kind = _PLAIN.get(type(found))
                return _ANYTHING if kind is None else Shape(kind)

    def _part(self, found: Any) -> Shape:
        """What has fields: told once, and named by its place, also within itself."""
        place = self._places.get(id(found))
        if place is None:
            place = self._places[id(found)] = len(self._parts)
            self._parts.append(None)
            self._parts[place] = self._fields(found)
        return Shape("part", part=place)

    def _fields(self, found: Any) -> Shape:
        fields = tuple(
            Field(one.encode_name, self._shape(one.type), one.required) for one in found.fields
        )
        if isinstance(found, inspect.NamedTupleType):
            return Shape("array", fields=fields, closed=True)
        if not isinstance(found, inspect.StructType):
            return Shape("object", fields=fields)
        return Shape(
            "array" if found.array_like else "object",
            fields=fields,
            tag_field=found.tag_field,
            tag=found.tag,
            closed=found.forbid_unknown_fields,
        )


def _union(members: Iterable[Shape]) -> Shape:
    found = tuple(members)
    return _ANYTHING if _ANYTHING in found else Shape("union", items=found)


def _enum(kind: type[enum.Enum]) -> Shape:
    """Its values, unless it takes others: as flags do, and what has a `_missing_` of its own."""
    own: Any = kind._missing_
    if own.__func__ is not enum.Enum.__dict__["_missing_"].__func__:
        return _ANYTHING
    return Shape("literal", values=tuple(member.value for member in kind))
