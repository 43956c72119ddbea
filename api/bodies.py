"""Reading request bodies: bounded in size, and of one media type."""

import asyncio
from collections.abc import Sequence
from typing import Any

from .problems import INVALID, MEDIA, NOT_JSON, TOO_DEEP, TOO_LARGE, TOO_SLOW, Fault, Problem
from .strict import NotStrict, TooDeep, check

_JSON = frozenset({b"application/json", b"application/json;charset=utf-8"})

PATIENCE = 60
"""Seconds a body may take: what has come of it is kept meanwhile."""

WRAPPING = 4
"""Levels around a payload in a request: the job, the list of jobs, the batch, and one to spare."""


async def read(receive: Any, declared: bytes | None, bound: int) -> bytes:
    """The whole body, at most `bound` bytes, whatever length was declared. Raises Problem."""
    if declared is not None and int(declared) > bound:
        raise too_large(bound)
    message = await receive()
    if not message.get("more_body"):
        body = message.get("body", b"")
        if len(body) > bound:
            raise too_large(bound)
        return body
    try:
        async with asyncio.timeout(PATIENCE):
            return await _rest(message, receive, bound)
    except TimeoutError:
        raise Problem(TOO_SLOW, f"Expected the whole body within {PATIENCE} seconds.") from None


async def _rest(message: Any, receive: Any, bound: int) -> bytes:
    """A body that comes in parts, of which `message` is the first."""
    parts = [message["body"]]
    size = len(parts[0])
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(INVALID, "The connection ended before the body did.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bound:
            raise too_large(bound)
    return b"".join(parts)


def too_large(bound: int) -> Problem:
    """The problem of a body beyond the bound."""
    return Problem(TOO_LARGE, f"Expected a body of at most {bound} bytes.")


async def read_json(scope: Any, receive: Any, bound: int, *, optional: bool = False) -> bytes:
    """The body of a request that must be JSON by its headers; not parsed yet. Raises Problem."""
    body, keys = await read_keyed(scope, receive, bound, optional=optional)
    if keys:
        raise _no_idempotency_key()
    return body


async def read_keyed(
    scope: Any, receive: Any, bound: int, *, optional: bool = False
) -> tuple[bytes, Sequence[bytes]]:
    """The same, and the idempotency keys the request came with."""
    media = encoding = length = None
    keys: tuple[bytes, ...] = ()
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = value
        elif name == b"content-length":
            length = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"idempotency-key":
            keys += (value,)
    body = await read(receive, length, bound)
    if optional and not body:
        return body, keys
    if media not in _JSON and _bare(media) not in _JSON:
        shown = "none" if media is None else media.decode("latin-1")
        raise Problem(MEDIA, f"Expected Content-Type application/json, got {shown}.")
    if encoding not in (None, b"identity"):
        raise Problem(MEDIA, f"Expected no Content-Encoding, got {encoding.decode('latin-1')}.")
    return body, keys


def _bare(media: bytes | None) -> bytes:
    return (media or b"").lower().replace(b" ", b"").replace(b'"', b"")


def check_strict(body: bytes, max_depth: int) -> None:
    """Refuse a body that is no strict JSON. Raises Problem."""
    try:
        check(body, max_depth + WRAPPING)
    except TooDeep as error:
        raise Problem(TOO_DEEP, f"{error}.", [Fault(error.path, error.message)]) from None
    except NotStrict as error:
        raise Problem(NOT_JSON, f"{error}.", [Fault(error.path, error.message)]) from None


def _no_idempotency_key() -> Problem:
    fault = Fault("Idempotency-Key", "expected none: it is taken with submissions alone", "header")
    return Problem(INVALID, "Idempotency-Key is taken with submissions alone.", [fault])
