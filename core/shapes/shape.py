"""Shapes as they are written."""

import hashlib
from typing import Final

from msgspec import Raw, Struct, json

ANY: Final = "any"


class Shape(Struct, frozen=True, omit_defaults=True):
    """What stands at one place of a payload.

    kind      `any`, which takes anything; null, bool, int, float, str, bytes, datetime, date, time,
              duration, uuid, decimal; literal; list, tuple, dict; object, array: with fields;
              union; part: see `Told`. One that is not known here (of a later release) is `any`
    least, most  length of str, bytes, list and dict
    tz        of datetime and time: whether there must, or must not, be an offset
    values    of a literal
    items     of a list: one; of a tuple: each; of a dict: key and value; of a union: each
    fields    of object and array
    tag_field, tag  the field that names an object, and its value there
    closed    other fields are refused
    part      the place of a part
    """

    kind: str
    gt: float | int | None = None
    ge: float | int | None = None
    lt: float | int | None = None
    le: float | int | None = None
    multiple_of: float | int | None = None
    least: int | None = None
    most: int | None = None
    tz: bool | None = None
    values: tuple[str | int | None, ...] = ()
    items: "tuple[Shape, ...]" = ()
    fields: "tuple[Field, ...]" = ()
    tag_field: str | None = None
    tag: str | int | None = None
    closed: bool = False
    part: int = 0


class Field(Struct, frozen=True, array_like=True):
    """A field of an object by its name in JSON, or of an array by its place."""

    name: str
    shape: Shape
    required: bool


class Told(Struct, frozen=True, omit_defaults=True):
    """The shape of a payload. What has fields stands in `parts`, once, however often it is met."""

    shape: Shape
    parts: tuple[Shape, ...] = ()


read_told = json.Decoder(Told).decode
"""Raises MsgspecError, also for what a later release wrote in a form not known here."""

read_document = json.Decoder(dict[str, Raw]).decode
"""The shapes of a worker: job type → Told. Raises MsgspecError."""


def digest_of(document: bytes) -> str:
    """What names a document of shapes; empty for an empty one."""
    return hashlib.sha256(document).hexdigest()[:32] if document else ""
