"""What msgspec refused, told to a client: where it is, what was expected, and what came."""

import re
from typing import Any

import msgspec

from .problems import INVALID, Fault, Problem

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
_ALREADY = re.compile(r"got `|Invalid enum value|unknown field|missing required field")
"""Messages that say themselves what came."""

_SHOWN = 80
_MOST = 2**18
"""Bytes of a body that is looked through once more."""

_TIME = "expected a time such as 2027-01-31T08:00:00Z"


def invalid(
    error: msgspec.ValidationError, given: object, place: Any = "body", under: str = "$"
) -> Problem:
    """The problem of a value of the wrong shape. `given`: the body, or what it was decoded to."""
    fault = fault_of(error, given, place, under)
    return Problem(INVALID, f"{fault.message} (at {fault.path}).", [fault])


def fault_of(
    error: msgspec.ValidationError, given: object, place: Any = "body", under: str = "$"
) -> Fault:
    """Where and what: the field's own path for one that is unknown or missing."""
    message, _, inner = str(error).partition(" - at `")
    inner = inner.removesuffix("`").removeprefix("$")
    path = under + inner
    for phrase in ("contains unknown field `", "missing required field `"):
        if phrase in message:
            field = message.partition(phrase)[2].removesuffix("`")
            path = f"{path}.{field}"
    if "RFC3339" in message or "timezone component" in message:
        message = _TIME
    if not _ALREADY.search(message):
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
