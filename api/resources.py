"""What requests share: connections, caches, counters. Opened with the app, closed with it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from litestar import Litestar

from ..core import connection
from ..core.acknowledgement import Acknowledger
from ..core.config import Settings
from ..core.encryption import Secrets
from ..core.joining import Joiner
from ..core.keys import Keys
from ..core.log import LogReader
from ..core.queue import Directory
from ..core.requests import Requests
from ..core.schedule_index import Schedules
from ..core.subjects import SubjectKeys
from ..core.workers import Workers
from ..projections.as_of import JobPast
from ..projections.changes import Changes
from .acknowledgements import Acknowledgements
from .catalog import Catalog
from .encryption import Encryption
from .idempotency import Idempotency
from .metrics import Metrics
from .payloads import Payloads
from .submitter import Submitter
from .tables import Tables

T = TypeVar("T")


@dataclass(slots=True)
class Resources:
    """One set per application."""

    settings: Settings
    redis: Any
    workers: Workers
    directory: Directory
    joiner: Joiner
    schedules: Schedules
    logs: LogReader
    catalog: Catalog
    payloads: Payloads
    submitter: Submitter
    idempotency: Idempotency
    acknowledgements: Acknowledgements
    tables: Tables
    changes: Changes
    past: JobPast
    metrics: Metrics
    encryption: Encryption
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    async def unless_draining(self, waiting: Awaitable[T], otherwise: T) -> T:
        """Wait, but no longer than this server means to live."""
        if self.draining.is_set():
            if asyncio.iscoroutine(waiting):
                waiting.close()
            return otherwise
        task = asyncio.ensure_future(waiting)
        drained = asyncio.create_task(self.draining.wait())
        try:
            await asyncio.wait({task, drained}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else otherwise
        finally:
            drained.cancel()
            task.cancel()


def resources_of(request: Any) -> Resources:
    """The resources of the app that serves `request`."""
    return request.app.state.resources


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    """Open everything before the first request, close it after the last. Servers may be down."""
    settings: Settings = app.state.settings
    redis = connection.connect(settings.redis_url, timeout=settings.command_timeout)
    keys = Keys(settings.namespace)
    directory, logs = Directory(redis, keys), LogReader(redis, keys)
    workers = Workers(redis, keys)
    waiting = connection.connect_blocking(
        settings.redis_url, block=settings.ack_timeout, timeout=settings.command_timeout
    )
    acknowledger = Acknowledger(
        waiting, keys, replicas=settings.ack_replicas, timeout=settings.ack_timeout
    )
    try:
        async with Tables.opened(settings) as tables, Changes(settings) as changes:
            app.state.resources = Resources(
                settings=settings,
                redis=redis,
                workers=workers,
                directory=directory,
                joiner=Joiner(directory),
                schedules=Schedules(redis, keys, directory),
                logs=logs,
                catalog=Catalog(directory, settings.unknown_types),
                payloads=Payloads(workers, settings.check_payloads),
                submitter=Submitter(directory),
                idempotency=Idempotency(Requests(redis, keys), settings.idempotency_ttl),
                acknowledgements=Acknowledgements(
                    acknowledger, tables, changes, settings.ack_timeout
                ),
                tables=tables,
                changes=changes,
                past=JobPast(tables.pool, logs, directory),
                metrics=Metrics(),
                encryption=Encryption(
                    Secrets.of(settings.erasure_secret, settings.erasure_old_secret),
                    SubjectKeys(redis, keys),
                    tables,
                ),
            )
            yield
    finally:
        await waiting.aclose()
        await redis.aclose()
