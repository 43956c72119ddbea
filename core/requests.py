"""What was agreed on a request that may be sent again, kept under the client's key for it."""

from typing import Any

from .connection import call, translated
from .keys import Keys


class Requests:
    """Agreements by digest; each in a slot of its own, since a request may be about many queues."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def find(self, digest: str) -> bytes | None:
        """What was agreed; None if nothing was, or it was too long ago."""
        with translated():
            return await call(self._redis, "GET", self._keys.request(digest))

    async def agree(self, digest: str, terms: bytes, ttl_ms: int) -> bytes:
        """Propose `terms`; what stands: those that were agreed on first."""
        key = self._keys.request(digest)
        with translated():
            stood = await call(self._redis, "SET", key, terms, "NX", "GET", "PX", ttl_ms)
        return terms if stood is None else stood
