"""Looks after jobs that wait for others, while the API serves."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from litestar import Litestar

from ..projections.linker import Linker
from .resources import Resources


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    """Runs a linker, and the joiner it shares with requests, while the app serves."""
    resources: Resources = app.state.resources
    linker = Linker(resources.directory, resources.joiner, resources.logs, resources.tables.pool)
    tasks = [asyncio.create_task(resources.joiner.run()), asyncio.create_task(linker.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
