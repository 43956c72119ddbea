"""Under which names this server may be called.

Without keys it listens on loopback alone. A page anywhere could still reach it, through a name of
its own that it lets point to 127.0.0.1, and would then be of our origin: other names are refused.
"""

from collections.abc import Iterable
from typing import Any

from ..core.config import require_loopback
from ..core.errors import ConfigError
from .problems import MISDIRECTED, Problem, reply_of

MEMO = 1000
"""Most names remembered: clients choose them."""


class Hosts:
    """The names that are ours: those of this machine, or any where the network is trusted."""

    def __init__(self, *, any_host: bool) -> None:
        self._any = any_host
        self._known: set[bytes] = set()

    def allow(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers was meant for this server."""
        if self._any:
            return True
        for name, value in headers:
            if name == b"host":
                return value in self._known or self._learn(value)
        return True  # HTTP/1.0 has none, and no browser speaks it

    def _learn(self, value: bytes) -> bool:
        host = value.decode("latin-1")
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else (
            host.partition(":")[0]
        )  # fmt: skip
        try:
            require_loopback(name)
        except ConfigError:
            return False
        if len(self._known) < MEMO:
            self._known.add(value)
        return True


async def refuse_host(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request that was meant for another host."""
    detail = "Expected a Host of this machine (localhost, 127.0.0.1), got another."
    await reply_of(Problem(MISDIRECTED, detail), scope["path"]).as_asgi()(scope, receive, send)
