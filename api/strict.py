"""JSON as RFC 8259 means it, and no more: one strict pass over a body before it is decoded.

msgspec lets a repeated key win silently, and leaves the insides of `Raw` values unchecked. What is
kept byte for byte must be readable by every handler later, so it is checked here: no repeated key,
no NaN or Infinity, no number beyond what a double or Python's int can hold, no broken UTF-8.
"""

import json
from typing import Any

import jiter
import msgspec

from ..core.nesting import depth

_any = msgspec.json.Decoder().decode

PARSER_DEPTH = 190
"""Nesting that the fast parser surely takes (it stops at 200)."""


class NotStrict(ValueError):
    """A body that is no acceptable JSON: where (`$.a[0]`), and why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{message} at {path}")
        self.path = path
        self.message = message


class TooDeep(NotStrict):
    """A body nested beyond the bound."""


def check(data: bytes, max_depth: int) -> None:
    """Refuse a body that is not strictly JSON, or nested deeper than `max_depth`.

    Up to `PARSER_DEPTH` the nesting is not counted here. Raises NotStrict, TooDeep.
    """
    try:
        jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
        _any(data)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        if not isinstance(error, RecursionError) and "recursion limit" not in str(error):
            raise _explained(data, error) from None
        # Too deep for the fast parser is not yet too deep for a bound set higher.
        if depth(data) > max_depth:
            raise TooDeep("$", f"expected at most {max_depth} levels, got {depth(data)}") from None
        fault = _fault_in(data)
        if fault:
            raise fault from None


class _Bad:
    """Stands in a parsed tree for a value that is not acceptable."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.message = message
        self.key = key


def _explained(data: bytes, error: Exception) -> NotStrict:
    """Why the fast pass refused `data`: found again by the slow parser, which can tell where."""
    return _fault_in(data) or NotStrict("$", str(error))


def _fault_in(data: bytes) -> NotStrict | None:
    if not data.strip(b" \t\r\n"):
        return NotStrict("$", "expected a JSON value, got an empty body")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        where = f"the byte 0x{data[error.start]:02x} at offset {error.start}"
        return NotStrict("$", f"expected UTF-8, got {where}")
    try:
        tree = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_float=_float,
            parse_int=_int,
            parse_constant=lambda word: _Bad(f"expected a JSON value, got {word}"),
        )
    except json.JSONDecodeError as error:
        return NotStrict("$", f"{error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return TooDeep("$", "expected fewer levels of nesting")
    return _search(tree)


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            return _Bad("expected each key once, got it again", key)
        found[key] = value
    return found


def _float(digits: str) -> Any:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        return _Bad(f"expected a number that a double can hold, got {digits[:40]}")
    return value


def _int(digits: str) -> Any:
    # Python refuses to read longer ones, since that takes quadratic time.
    if len(digits.lstrip("-")) > 4300:
        return _Bad(f"expected a number of at most 4300 digits, got {len(digits)}")
    return 0


def _search(tree: Any) -> NotStrict | None:
    """The first bad value of a parsed tree, with its path; without recursion."""
    waiting: list[tuple[str, Any]] = [("$", tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Bad):
            return NotStrict(path if value.key is None else step(path, value.key), value.message)
        if isinstance(value, dict):
            waiting += reversed([(step(path, key), item) for key, item in value.items()])
        elif isinstance(value, list):
            waiting += reversed([(f"{path}[{i}]", item) for i, item in enumerate(value)])
    return None


def step(path: str, key: str) -> str:
    """The path of a member of the object at `path`."""
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key)}]"
