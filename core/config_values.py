"""How one text (or TOML value) becomes one value of a setting.

A reader takes what was given and returns the value, or raises `Unfit` saying what it expected;
`config` adds the name of the setting and what was given.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

Reader = Callable[[object], Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SIZE = re.compile(r"(\d+)\s*(B|KB|KiB|MB|MiB|GB|GiB)?", re.IGNORECASE)
_UNITS = {
    "b": 1, "kb": 10**3, "kib": 2**10, "mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30,
}  # fmt: skip
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_CREDENTIALS = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]*@", re.IGNORECASE)
_QUERY_PASSWORD = re.compile(r"(?P<head>[?&](?:ssl)?password=)[^&\s]*", re.IGNORECASE)


class Unfit(ValueError):
    """The value given is not what the setting expects; the text says what is."""


def redact(text: str) -> str:
    """`text` with the password of every URL in it replaced by `***`."""
    if "://" not in text:
        return text
    text = _CREDENTIALS.sub(r"\g<head>:***@", text)
    return _QUERY_PASSWORD.sub(r"\g<head>***", text)


def text(expected: str = "a text that is not empty") -> Reader:
    def read(given: object) -> str:
        if not isinstance(given, str) or not given.strip():
            raise Unfit(expected)
        return given.strip()

    return read


def label(given: object) -> str:
    """A short text for people, which may be empty."""
    if not isinstance(given, str) or len(given) > 100 or not given.isprintable():
        raise Unfit("at most 100 printable characters")
    return given.strip()


def secret(size: int) -> Reader:
    """So many random bytes, in hex."""

    def read(given: object) -> bytes:
        try:
            raw = bytes.fromhex(given) if isinstance(given, str) else b""
        except ValueError:
            raw = b""
        if len(raw) != size:
            raise Unfit(f"{2 * size} hex digits (such as `openssl rand -hex {size}` gives)")
        return raw

    return read


def optional(reader: Reader) -> Reader:
    def read(given: object) -> object:
        return None if given is None or given == "" else reader(given)

    return read


def name(given: object) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise Unfit("a name of a-z 0-9 . _ - starting with a letter or digit, at most 63 long")
    return given


def url(*schemes: str) -> Reader:
    expected = "a URL starting with " + " or ".join(f"{scheme}://" for scheme in schemes)

    def read(given: object) -> str:
        if not isinstance(given, str):
            raise Unfit(expected)
        try:
            parts = urlsplit(given)
            parts.port  # noqa: B018 (raises for a port that is no port)
        except ValueError as error:
            raise Unfit(expected) from error
        if parts.scheme not in schemes or not (parts.netloc or parts.path or parts.query):
            raise Unfit(expected)
        return given

    return read


def integer(least: int, most: int | None = None) -> Reader:
    expected = f"a whole number of {least} or more" if most is None else (
        f"a whole number from {least} to {most}"
    )  # fmt: skip

    def read(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise Unfit(expected)
        try:
            value = int(given)
        except ValueError:
            raise Unfit(expected) from None
        if value < least or (most is not None and value > most):
            raise Unfit(expected)
        return value

    return read


def seconds(least: float) -> Reader:
    expected = f"a number of seconds, {least:g} or more"

    def read(given: object) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise Unfit(expected)
        try:
            value = float(given)
        except ValueError:
            raise Unfit(expected) from None
        if not math.isfinite(value) or value < least:
            raise Unfit(expected)
        return value

    return read


def days(given: object) -> float:
    """A number of days, from 1 on: whole days are dropped, and never the one that is not over."""
    try:
        return seconds(1)(given)
    except Unfit:
        raise Unfit("a number of days, 1 or more") from None


def kept(given: object) -> str:
    """A queue, or `*` for all others, and for how many days its jobs are kept."""
    queue, _, number = given.rpartition(":") if isinstance(given, str) else ("", "", "")
    try:
        return f"{'*' if queue == '*' else name(queue)}:{days(number):g}"
    except Unfit:
        raise Unfit("such as *:90 or emails:7, in days of 1 or more") from None


def size(least: int) -> Reader:
    expected = f"a size in bytes, or like 8MiB, of {least} bytes or more"

    def read(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise Unfit(expected)
        match = _SIZE.fullmatch(str(given).strip())
        if match is None:
            raise Unfit(expected)
        value = int(match[1]) * _UNITS[(match[2] or "B").lower()]
        if value < least:
            raise Unfit(expected)
        return value

    return read


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def boolean(given: object) -> bool:
    if isinstance(given, bool):
        return given
    lowered = given.strip().lower() if isinstance(given, str) else ""
    if lowered not in _TRUE | _FALSE:
        raise Unfit("true or false")
    return lowered in _TRUE


def choice(*words: str) -> Reader:
    def read(given: object) -> str:
        if not isinstance(given, str) or given.strip().lower() not in words:
            raise Unfit("one of " + ", ".join(words))
        return given.strip().lower()

    return read


def head_target(given: object) -> str:
    """Where heads of the archive are written."""
    if isinstance(given, str):
        if given == "log" or (given.startswith("file:") and len(given) > 5):
            return given
        if given.startswith(("http://", "https://")) and urlsplit(given).netloc:
            return given
    raise Unfit(
        "targets separated by commas, each log, file:PATH, or a URL starting with http(s)://"
    )


def listed(item: Reader, *, least: int = 0) -> Reader:
    """A TOML list, or a text with commas."""

    def read(given: object) -> tuple[Any, ...]:
        parts: list[object]
        if isinstance(given, str):
            parts = [part.strip() for part in given.split(",") if part.strip()]
        elif isinstance(given, list | tuple):
            parts = list(given)
        else:
            raise Unfit("a list, or a text with commas")
        values = tuple(dict.fromkeys(item(part) for part in parts))
        if len(values) < least:
            raise Unfit(f"at least {least} value")
        return values

    return read


MAX_WEIGHT = 1000


def queues(given: object) -> tuple[str, ...]:
    """Queues as `name` or `name:weight`, separated by commas or listed, or a table of weights."""
    if isinstance(given, Mapping):
        given = [f"{name}:{weight}" for name, weight in given.items()]
    return listed(_queue, least=1)(given)


def queue_weight(given: str) -> tuple[str, int]:
    """Name and weight of a queue that was read."""
    name, _, weight = given.partition(":")
    return name, int(weight or 1)


def _queue(given: object) -> str:
    """A queue's name, with a weight unless that is 1, or `*` for every queue there is."""
    if given == "*":
        return "*"
    text, colon, weight = given.partition(":") if isinstance(given, str) else (given, "", "")
    try:
        found = name(text)
    except Unfit as error:
        raise Unfit(f"queues separated by commas, or *; each {error}") from None
    if not colon:
        return found
    try:
        share = integer(1, MAX_WEIGHT)(weight)
    except Unfit as error:
        raise Unfit(f"after the colon of a queue its weight, {error}") from None
    return found if share == 1 else f"{found}:{share}"


def retention(given: object) -> tuple[str, ...]:
    """For how many days jobs are kept, each queue once: which of two would hold is not guessed."""
    found = listed(kept)(given)
    if len({each.rpartition(":")[0] for each in found}) < len(found):
        raise Unfit("each queue once")
    return found
