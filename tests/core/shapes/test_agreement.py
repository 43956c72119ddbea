"""A shape refuses nothing that its type takes: msgspec is asked on both sides."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Raw, Struct

from millstream.core.shapes import document_of, read_document, read_told, type_of

from .kinds import Colour, Flags, Lenient, Tree, exact_kinds, loose_kinds, payloads


def told(kind: Any) -> Any:
    """The type of a handler as whoever submits learns of it."""
    document = document_of({"a.job": kind})
    return type_of(read_told(read_document(document)["a.job"])) if document else Raw


def refusal(kind: Any, text: bytes) -> str | None:
    """What is said against a payload; None: it is taken."""
    try:
        msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def with_payload(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, bytes]]:
    return kinds.flatmap(
        lambda kind: st.tuples(st.just(kind), payloads(kind).map(msgspec.json.encode))
    )


@settings(max_examples=500)
@given(with_payload(loose_kinds))
def test_what_is_refused_the_handler_refuses(drawn: tuple[Any, bytes]) -> None:
    kind, payload = drawn
    if refusal(told(kind), payload) is not None:
        assert refusal(kind, payload) is not None


@settings(max_examples=500)
@given(with_payload(exact_kinds))
def test_what_can_be_told_is_refused_in_the_same_words(drawn: tuple[Any, bytes]) -> None:
    kind, payload = drawn
    assert refusal(told(kind), payload) == refusal(kind, payload)


class Line(Struct, forbid_unknown_fields=True):
    sku: str
    count: Annotated[int, Meta(ge=1)] = 1


class Order(Struct):
    lines: Annotated[list[Line], Meta(min_length=1)]
    notes: dict[str, str] = {}


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        (Order, b"{}", "Object missing required field `lines`"),
        (Order, b'{"lines":[]}', "Expected `array` of length >= 1 - at `$.lines`"),
        (Order, b'{"lines":[{"sku":"a","count":0}]}',
         "Expected `int` >= 1 - at `$.lines[0].count`"),
        (Order, b'{"lines":[{"sku":"a","cost":1}]}',
         "Object contains unknown field `cost` - at `$.lines[0]`"),
        (Order, b'{"lines":[{"sku":"a"}],"notes":{"a":1}}',
         "Expected `str`, got `int` - at `$.notes[...]`"),
        (Colour, b'"green"', "Invalid enum value 'green'"),
        (None, b"{}", "Expected `null`, got `object`"),
        (Tree, b'{"name":1}', "Expected `str`, got `int` - at `$.name`"),
    ],
)  # fmt: skip
def test_what_is_refused(kind: Any, payload: bytes, message: str) -> None:
    assert refusal(told(kind), payload) == refusal(kind, payload) == message


class Tagged(Struct, tag=True):
    a: int


class Listed(Struct, array_like=True):
    a: int


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Decimal, b"1.50"),
        (Tagged, b'{"a":1}'),
        (Listed, b"[1,2,3]"),
        (Annotated[int, Meta(extra_json_schema={"minimum": 9})], b"1"),
        (Annotated[str, Meta(pattern="^\\w+$")], b'"\xc3\xa4\\n"'),
        (Annotated[set[int], Meta(max_length=1)], b"[1,1]"),
        (Annotated[dict[Lenient, int], Meta(max_length=1)], b'{"b":1,"c":1}'),
        (Annotated[float, Meta(multiple_of=0.1)], b"0.2"),
        (Lenient, b'"z"'),
        (Flags, b"3"),
        (float, b"1"),
        (list[Raw], b"[1e400]"),
    ],
)
def test_what_a_json_schema_could_refuse_is_taken_where_the_handler_takes_it(
    kind: Any, payload: bytes
) -> None:
    assert refusal(kind, payload) is None
    assert refusal(told(kind), payload) is None


class Odd(enum.Enum):
    """Of no kind that JSON has."""

    A = (1, 2)


@pytest.mark.parametrize("kind", [Any, Raw, Lenient, Flags, Lenient | None, Odd])
def test_of_some_nothing_is_told(kind: Any) -> None:
    assert told(kind) is Raw


def test_a_type_that_holds_itself_is_told_down_to_itself() -> None:
    assert refusal(told(Tree), b'{"name":"a","children":[{"name":1}]}') is None
    assert refusal(told(Tree), b'{"name":"a","children":{}}') is not None


@pytest.mark.parametrize(
    "text",
    [
        b'{"shape":{"kind":"quaternion"}}',
        b'{"shape":{"kind":"part"}}',
        b'{"shape":{"kind":"part","part":-1}}',
        b'{"shape":{"kind":"part"},"parts":[{"kind":"part"}]}',
        b'{"shape":{"kind":"list"}}',
        b'{"shape":{"kind":"literal"}}',
        b'{"shape":{"kind":"bool","ge":3}}',
        b'{"shape":{"kind":"union","items":[{"kind":"str"},{"kind":"uuid"}]}}',
    ],
)
def test_what_a_later_release_may_say_takes_anything(text: bytes) -> None:
    kind = type_of(read_told(text))
    for payload in (b"1", b"null", b'{"a":[]}', b"[]", b'"x"'):
        assert refusal(kind, payload) is None


def test_the_same_types_are_told_in_the_same_words() -> None:
    assert document_of({"a": Order, "b": Tree}) == document_of({"b": Tree, "a": Order})
    assert document_of({"a": Any}) == document_of({}) == b""
