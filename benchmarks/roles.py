"""The roles a benchmark needs, as real processes."""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from millstream.projections.migrations import migrate

from .bench import Bench


@asynccontextmanager
async def api(bench: Bench) -> AsyncGenerator[int]:
    """An API process over migrated tables; yields its port."""
    await migrate(bench.settings.postgres_dsn)
    port = free_port()
    with bench.role("api", "--port", str(port)):
        yield port


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def projector(bench: Bench, **extra: object) -> Generator[int]:
    """A projector process (tables must be migrated) with `extra` settings; yields its pid."""
    with bench.role("projector", **extra) as process:
        yield process.pid
