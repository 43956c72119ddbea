"""Requests with an Idempotency-Key: sent again, they do what the first one did, and no more.

Two steps, since a request may be about several queues and one script reaches only one. First the
terms are agreed on under the key: which body, which queues, at what time. Then each job takes a
lock of its own, derived from those terms, so that `submit` itself finds what an earlier request
whose answer was lost has submitted already.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ..core.ids import derived_id
from ..core.requests import Requests
from ..core.unique import canonical, digest
from .orders import Order
from .problems import INVALID, KEY_REUSED, Fault, Problem
from .submission import Defaults
from .submitter import insist

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


class Terms(msgspec.Struct, array_like=True, frozen=True):
    """What a request with a key is about.

    body      fingerprint of its body
    now       ms since 1970 when it came first: what its times are held against, also later
    defaults  queue and attempts of each job; one for all, if they are all the same
    """

    body: str
    now: int
    defaults: list[Defaults]

    def defaults_of(self, count: int) -> list[Defaults]:
        """One for each of `count` jobs."""
        return self.defaults if len(self.defaults) == count else self.defaults * count


_read = msgspec.json.Decoder(Terms).decode


class Agreement:
    """The terms of a request with a key, and the locks its jobs take."""

    def __init__(self, key: bytes, terms: Terms, ttl_ms: int) -> None:
        self.terms = terms
        self._ttl_ms = ttl_ms
        self._seed = b"".join((key, b"\0", terms.body.encode(), b"\0%d" % terms.now))

    def once(self, index: int) -> tuple[str, int]:
        """The lock of the job at `index`, and for how long it is held (ms)."""
        return digest(b"request", self._seed, b"%d" % index), self._ttl_ms

    def id(self, index: int, partition: str) -> str:
        """The id of the job at `index`, where others are told it before the job is submitted."""
        seed = digest(b"id", self._seed, b"%d" % index)
        return derived_id(partition, self.terms.now, seed)

    def mark(self, order: Order, index: int, partition: str) -> Order:
        """The order of the job at `index`, with its lock and, if it waits for others, its id."""
        id = self.id(index, partition) if order.spec.depends_on else None
        return order._replace(once=self.once(index), id=id)


class Idempotency:
    """Remembers requests by their keys, for `ttl` seconds."""

    def __init__(self, requests: Requests, ttl: float) -> None:
        self._requests = requests
        self._ttl_ms = max(1, round(ttl * 1000))

    async def agree(
        self,
        key: bytes,
        body: bytes,
        now: int,
        resolve: Callable[[], Awaitable[Sequence[Defaults]]],
    ) -> Agreement:
        """The terms of the request with this key, those of the first one if it was sent before.

        `resolve` checks a new one and tells its defaults; what it raises leaves the key free.
        Raises Problem if the key stands for another request, Unavailable.
        """
        # Asking again, for another level of acknowledgement, is the same request.
        name, fingerprint = digest(b"key", key), digest(canonical(body, without="ack"))
        stood = await insist(lambda: self._requests.find(name))
        if stood is None:
            found = list(await resolve())
            defaults = found[:1] if len(set(found)) == 1 else found
            mine = msgspec.json.encode(Terms(fingerprint, now, defaults))
            stood = await insist(lambda: self._requests.agree(name, mine, self._ttl_ms))
        terms = _read(stood)
        if terms.body != fingerprint:
            message = "expected a key that was not used for another request, got one that was"
            fault = Fault("Idempotency-Key", message, "header")
            raise Problem(KEY_REUSED, "This key stands for a request with another body.", [fault])
        return Agreement(key, terms, self._ttl_ms)


def check_key(keys: Sequence[bytes]) -> bytes | None:
    """The key of a request, from its headers of that name. Raises Problem."""
    if not keys:
        return None
    if len(keys) == 1 and _KEY.fullmatch(keys[0]):
        return keys[0]
    got = f"{len(keys)} keys" if len(keys) > 1 else repr(keys[0].decode("latin-1")[:80])
    fault = Fault("Idempotency-Key", f"expected 1 to 255 visible ASCII characters, got {got}",
                  "header")  # fmt: skip
    raise Problem(INVALID, f"Idempotency-Key: {fault.message}.", [fault])
