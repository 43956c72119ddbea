"""What a client may say about uniqueness, and the lock that makes of it. Pure."""

import json
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from .retry import MAX_DELAY
from .submitting import Policy

DIGEST_BYTES = 16
_packed = msgspec.msgpack.Encoder(order="deterministic").encode


class Unique(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One job at a time stands for all of its queue and type that are like it.

    key     what makes them alike; by default the payload
    scope   while it is waiting, until it is unfinished no more, or for a `period` (seconds)
    policy  keep: the job there is stays as it is; replace: while it waits it is given this
            submission's values instead
    """

    key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    scope: Literal["waiting", "unfinished", "period"] = "unfinished"
    period: Annotated[float, Meta(gt=0, le=MAX_DELAY)] | None = None
    policy: Policy = "keep"


def lock_of(type: str, payload: bytes, unique: Unique) -> str:
    """The digest that stands for all jobs like this one in their queue."""
    about = b"p" + canonical(payload) if unique.key is None else b"k" + unique.key.encode()
    return digest(type.encode(), about)


def lock_ms_of(unique: Unique) -> int | None:
    """How long the lock is held, where it is held for a time. Raises ValueError if it must say."""
    if unique.scope != "period":
        if unique.period is not None:
            raise ValueError(f"expected a period only with the scope period, got {unique.scope}")
        return None
    if unique.period is None:
        raise ValueError("expected a period in seconds, got none")
    return max(1, round(unique.period * 1000))


def canonical(data: bytes, without: str | None = None) -> bytes:
    """The same bytes for the same JSON value, however its keys are ordered and its text is spaced.

    Numbers count as they are written where a float or 64 bits might not hold them: two payloads
    that differ are never taken for one. `without`: a member of the outermost object that does
    not count.
    """
    tree = json.loads(data, parse_float=_number, parse_int=_integer)
    if without is not None:
        tree.pop(without, None)
    return _packed(tree)


def digest(*parts: bytes) -> str:
    """A digest of these parts, as hexadecimal digits."""
    hashed = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


def _number(text: str) -> Any:
    return msgspec.msgpack.Ext(1, text.encode())


def _integer(text: str) -> Any:
    return int(text) if len(text) < 18 else _number(text)
