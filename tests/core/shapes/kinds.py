"""Strategies: types that handlers may declare, and payloads that nearly fit them."""

from __future__ import annotations

import enum
import itertools
import uuid
from collections.abc import Callable
from dataclasses import make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, Union

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, inspect

from tests.strategies import json_values

Strategy = st.SearchStrategy[Any]

_numbers = itertools.count()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Lenient(enum.Enum):
    """Takes any text."""

    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.A


class Flags(enum.IntFlag):
    R = 1
    W = 2


class Tree(Struct):
    name: str
    children: list[Tree] = []
    other: Tree | None = None


class Told(TypedDict):
    a: int
    b: NotRequired[str]


class Pair(NamedTuple):
    a: int
    b: str = "b"


def _bounded(kind: type, values: Strategy) -> Strategy:
    bounds = st.fixed_dictionaries(
        {}, optional={"ge": values, "lt": values, "multiple_of": st.integers(1, 4)}
    )
    return bounds.map(lambda given: _annotated(kind, given))


def _annotated(kind: Any, given: Any) -> Any:
    return Annotated[kind, Meta(**given)] if given else kind


def _sized(kind: Any) -> Strategy:
    size = st.integers(0, 3)
    given = st.fixed_dictionaries({}, optional={"min_length": size, "max_length": size})
    return given.map(lambda given: _annotated(kind, given))


_bounds = st.integers(-3, 5)
exact_scalars: Strategy = st.one_of(
    st.sampled_from([bool, None, date, timedelta, uuid.UUID, Decimal, time, datetime, Level, Colour,
                     Literal["a", "b"], Literal[1, 2], Literal["a", 1, None]]),
    _bounded(int, _bounds), _bounded(float, _bounds), _sized(str), _sized(bytes),
    st.sampled_from([Annotated[datetime, Meta(tz=True)], Annotated[time, Meta(tz=False)]]),
)  # fmt: skip
"""What is told as it is."""

loose_scalars: Strategy = st.one_of(
    st.sampled_from([Any, Raw, Lenient, Flags, Tree, Told, Pair, set[bool],
                     Annotated[str, Meta(pattern="^[a-c]*$")],
                     Annotated[str, Meta(extra_json_schema={"minLength": 9})],
                     Annotated[set[int], Meta(max_length=1)], dict[Lenient, int],
                     Annotated[frozenset[Colour], Meta(min_length=1, max_length=1)],
                     Annotated[dict[Annotated[str, Meta(pattern="a")], int], Meta(max_length=1)]]),
)  # fmt: skip
"""What is told as something that takes more."""

_keys = st.sampled_from([str, int, float, date, Colour, Level, uuid.UUID, Literal["a", "b"]])
_NAMES = ["a", "b", "type", "a b", "f1"]


@st.composite
def structs(draw: Any, inner: Strategy, *, tag: Any = None, array: bool | None = None) -> Any:
    """A struct of any options; with a tag where it is given one."""
    names = draw(st.lists(st.sampled_from(_NAMES), max_size=4, unique=True))
    fields: list[Any] = []
    for place, _ in enumerate(names):
        kind, form = draw(inner), draw(st.integers(0, 3))
        if form == 0:
            fields.append((f"x{place}", kind))
        elif form == 1:
            fields.append((f"x{place}", Optional[kind], None))  # noqa: UP045 (made at run time)
        elif form == 2:
            fields.append((f"x{place}", Union[kind, UnsetType], UNSET))  # noqa: UP007
        else:
            fields.append((f"x{place}", kind, None))
    given: Any = {"tag_field": "kind", "tag": tag} if tag is not None else {}
    return msgspec.defstruct(
        f"S{next(_numbers)}", fields, kw_only=True,
        rename={f"x{place}": name for place, name in enumerate(names)},
        forbid_unknown_fields=draw(st.booleans()),
        array_like=draw(st.booleans()) if array is None else array, **given,
    )  # fmt: skip


@st.composite
def _unions(draw: Any, inner: Strategy) -> Any:
    """Structs told apart by their tags, with null or a number beside them."""
    tags: list[Any] = draw(st.sampled_from([["A", "B"], [1, 2]]))
    array = draw(st.booleans())
    members = [draw(structs(inner, tag=tag, array=array)) for tag in tags]
    return Union[(*members, *draw(st.sampled_from([(), (None,), (int,), (str, None)])))]


def _dataclass(kind: Any) -> Any:
    return make_dataclass(f"D{next(_numbers)}", [("a", kind), ("b", int, 5)])


def _wider(inner: Strategy) -> Strategy:
    plain: list[Callable[[Any], Any]] = [
        lambda kind: list[kind], lambda kind: tuple[kind, ...],
        lambda kind: Optional[kind],  # noqa: UP045
        lambda kind: tuple[kind, int], _dataclass,
    ]  # fmt: skip
    return st.one_of(
        *[inner.map(make) for make in plain],
        inner.flatmap(lambda kind: _sized(list[kind])),
        st.tuples(_keys, inner).flatmap(lambda pair: _sized(dict[pair[0], pair[1]])),
        structs(inner), structs(inner, tag="T"), _unions(inner),
    )  # fmt: skip


def _known(kind: Any) -> bool:
    """Whether a handler may declare it: not all that is drawn makes sense to msgspec."""
    try:
        msgspec.json.Decoder(kind)
    except (TypeError, ValueError):
        return False
    return True


exact_kinds = st.recursive(exact_scalars, _wider, max_leaves=6).filter(_known)
loose_kinds = st.recursive(loose_scalars, _wider, max_leaves=4).filter(_known)

_ODD = [Raw(text) for text in (b"1.0", b"-0", b"1e2", b"0.1", b"-0.0", b"9" * 30, b"1e400")]
_TEXTS = ["", "a", "b", "abc", "red", "blue", "YQ==", "1", "2", "01", "1.5", "nan", "true", "null",
          "2026-01-31", "2026-01-31T08:00:00Z", "2026-01-31T08:00:00", "08:00:00", "08:00:00Z",
          "P1D", "PT1S", "3f6c2b0a-0000-4000-8000-000000000000", "A", "B", "T"]  # fmt: skip
_junk: Strategy = (
    st.sampled_from([*_ODD, *_TEXTS, 0, 1, 2, 3, -1, 2.5, None, True, [], {}]) | json_values
)


def payloads(kind: Any) -> Strategy:
    """JSON values that fit a type more often than not."""
    return _fitting(inspect.type_info(kind), 3)


def _near(found: Any, depth: int) -> Strategy:
    """`depth`: how often a type that holds itself is gone into."""
    fitting = _fitting(found, depth) if depth else _junk
    return st.integers(0, 7).flatmap(lambda dice: fitting if dice else _junk)


def _fitting(found: Any, depth: int) -> Strategy:
    match found:
        case inspect.Metadata():
            return _fitting(found.type, depth)
        case inspect.IntType() | inspect.FloatType():
            return st.integers(-1, 4) | st.sampled_from([0.5, 2.0, *_ODD])
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(found.values)
        case inspect.EnumType():
            return st.sampled_from([*(member.value for member in found.cls), "a", 3, "c"])
        case inspect.UnionType():
            return st.one_of(*(_near(one, depth) for one in found.types))
        case inspect.TupleType():
            return st.tuples(*(_near(one, depth) for one in found.item_types))
        case inspect.DictType():
            keys = st.sampled_from(_TEXTS)
            return st.dictionaries(keys, _near(found.value_type, depth), max_size=4)
        case _ if hasattr(found, "item_type"):
            return st.lists(_near(found.item_type, depth), max_size=4)
        case _ if hasattr(found, "fields"):
            return _with_fields(found, depth - 1)
        case _:
            return st.sampled_from(_TEXTS)


def _with_fields(found: Any, depth: int) -> Strategy:
    tag = getattr(found, "tag", None)
    if getattr(found, "array_like", False) or isinstance(found, inspect.NamedTupleType):
        head = [st.sampled_from([tag, tag, tag, "A", 1])] if tag is not None else []
        items = [_near(field.type, depth) for field in found.fields]
        least = sum(field.required for field in found.fields) + len(head)
        whole = st.tuples(*head, *items, _junk).map(list)
        return st.tuples(whole, st.integers(max(0, least - 1), len(head) + len(items) + 1)).map(
            lambda pair: pair[0][: pair[1]]
        )
    fields = {field.encode_name: _near(field.type, depth) for field in found.fields}
    required = {field.encode_name for field in found.fields if field.required}
    needed = {name: one for name, one in fields.items() if name in required}
    other = {name: one for name, one in fields.items() if name not in required}
    if tag is not None:
        needed[found.tag_field] = st.sampled_from([tag, tag, tag, "A", 2])
    full = st.fixed_dictionaries(needed, optional=other | {"unknown": _junk})
    lacking = st.fixed_dictionaries({}, optional=needed | other)
    return st.one_of(full, full, full, lacking)
