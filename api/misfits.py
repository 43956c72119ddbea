"""What msgspec refused, told to a client: where it is, what was expected, and what came."""

import re
from typing import Any

import msgspec

from .problems import INVALID, Fault, Problem

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")
"""A field; an index, or `...` for some value of an object whose keys are free."""
_ALREADY = re.compile(r"got `|unknown field|missing required field")
"""Messages that say themselves what came."""

_KEY = "key` in `"

_ENUM = "Invalid enum value "

_SHOWN = 80
_MOST = 2**18
"""Bytes of a body that is looked through once more."""

_TIME = "expected a time such as 2027-01-31T08:00:00Z"


def invalid(
    error: msgspec.ValidationError, given: object, shape: Any, place: Any = "body"
) -> Problem:
    """The problem of a value that is not of `shape`. `given`: the body, or what was read of it."""
    fault = fault_of(error, given, shape, place)
    return Problem(INVALID, f"{fault.message} (at {fault.path}).", [fault])


def fault_of(
    error: msgspec.ValidationError,
    given: object,
    shape: Any,
    place: Any = "body",
    under: str = "$",
) -> Fault:
    """Where and what: the field's own path for one that is unknown or missing."""
    message, _, inner = str(error).partition(" - at `")
    inner = inner.removesuffix("`")
    if inner.startswith(_KEY):
        message, inner = f"{message} in a key", inner.removeprefix(_KEY)
    inner = inner.removeprefix("$")
    path = under + inner
    for phrase in ("contains unknown field `", "missing required field `"):
        if phrase in message:
            field = message.partition(phrase)[2].removesuffix("`")
            path = f"{path}.{field}"
    if "RFC3339" in message or "timezone component" in message:
        message = _TIME
    if message.startswith(_ENUM):
        message = f"expected {_choices(inner, shape)}, got {message.removeprefix(_ENUM)}"
    elif not _ALREADY.search(message):
        message += _told(inner, given, counted="length" in message)
    return Fault(path, message, place)


def _told(path: str, given: object, *, counted: bool) -> str:
    """What came at a path, or nothing if it cannot be found there."""
    try:
        if isinstance(given, bytes) and len(given) > _MOST:
            return ""
        value: Any = msgspec.json.decode(given) if isinstance(given, bytes) else given
        for name, index in _STEP.findall(path):
            value = value[int(index)] if index else value[name]
        if counted and isinstance(value, list | dict | str) and len(value) > 1:
            return f", got {len(value)}"
        shown = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        return ""
    return f", got {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + '…'}"


def _choices(path: str, shape: Any) -> str:
    """What may stand at a path, as the JSON Schema of `shape` says."""
    schema = msgspec.json.schema(shape)
    nodes = _plain(schema, schema)
    for name, index in _STEP.findall(path):
        inner = [_below(node, name, index) for node in nodes]
        nodes = [one for node in inner if isinstance(node, dict) for one in _plain(node, schema)]
    found = [str(each) for node in nodes for each in node.get("enum", ())]
    return f"one of {', '.join(found)}" if found else "another value"


def _below(node: dict[str, Any], name: str, index: str) -> Any:
    """What a node of a schema says of one step further down."""
    if name:
        return node.get("properties", {}).get(name)
    return node.get("additionalProperties" if index == "..." else "items")


def _plain(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What a node of a schema may be, without references and alternatives."""
    if "$ref" in node:
        return _plain(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in node:
        return [one for each in node["anyOf"] for one in _plain(each, schema)]
    return [node]
