"""GET /health, /livez, /readyz and /metrics: each dependency, and how far the tables lag."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal

from litestar import Request, get
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.connection import translated
from ..core.errors import MillstreamError
from ..projections.conservation.reading import PartitionAudit
from ..projections.fold import VERSION
from ..projections.queries import Checkpoint
from . import metrics
from .answers import answer
from .parameters import NoParameters, read
from .problems import DRAINING, Problem
from .resources import Resources, resources_of
from .views import Time, time_of

PATIENCE = 2.0
"""Seconds after which a dependency that did not answer counts as down."""

Status = Literal["ok", "degraded", "down"]


class Dependency(Struct, omit_defaults=True):
    """A server we need: whether it answers, and how fast."""

    status: Status
    latency_ms: float | None = None
    detail: str = ""


class PartitionHealth(Struct):
    """How far the tables have a partition's log. `lag`: events; null if it cannot be told.

    `lost`: why the queue was halted until `millstream restore`; null: its log is fine.
    `missing`: events that were declared to be in neither the archive nor the log.
    """

    partition: str
    head: str
    projected: str | None
    lag: int | None
    halted: str | None
    lost: str | None
    missing: int


class Projection(Struct):
    """How far the tables are behind; `degraded` if a partition is halted or cannot be told.

    `rebuild`: what to run where the tables are of an earlier version of the projection.
    """

    status: Status
    lag: int | None
    partitions: Sequence[PartitionHealth]
    rebuild: str | None = None


class Conservation(Struct):
    """Live jobs that go nowhere, see /audit; `degraded` if there are any. `checked_at`: when the
    queue looked at longest ago was; null if none was yet, or it cannot be told."""

    status: Status
    checked_at: Time | None = None
    lost: int = 0
    doubled: int = 0
    stuck: int = 0


class Health(Struct):
    """`down`: no job can be submitted. `degraded`: jobs run, but not all is shown, or some go
    nowhere."""

    status: Status
    redis: Dependency
    postgres: Dependency
    projection: Projection
    conservation: Conservation


@get("/health")
async def health(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Every dependency, with the projection's lag per partition."""
    read(request, NoParameters)
    found = await examine(resources_of(request))
    return answer(found, 503 if found.status == "down" else 200)


@get("/livez")
async def livez(request: Request[Any, Any, Any]) -> ASGIResponse:
    """This process serves; says nothing of others."""
    read(request, NoParameters)
    return answer({"status": "ok"})


@get("/readyz")
async def readyz(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Whether requests should be sent here: jobs can be submitted, and it is not shutting down.

    PostgreSQL does not count, since submissions go on without it. Queues whose log is lost are
    named; when all are, nothing can be submitted.
    """
    read(request, NoParameters)
    resources = resources_of(request)
    if resources.draining.is_set():
        raise Problem(DRAINING, "This server is shutting down.")
    redis = await _redis(resources)
    lost, some = await _lost(resources) if redis.status == "ok" else ([], True)
    status = redis.status if some else "down"
    told = {"status": status} | ({"lost": lost} if lost else {})
    return answer(told, 200 if status == "ok" else 503)


@get("/metrics")
async def prometheus(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Counters of this process, and the projection's lag, for Prometheus."""
    resources = resources_of(request)
    found = await examine(resources)
    resources.metrics.up("redis", answers=found.redis.status == "ok")
    resources.metrics.up("postgres", answers=found.postgres.status == "ok")
    told = found.conservation
    resources.metrics.conserved(lost=told.lost, doubled=told.doubled, stuck=told.stuck)
    for one in found.projection.partitions:
        resources.metrics.lag(one.partition, one.lag, halted=one.halted is not None)
        resources.metrics.lost(one.partition, lost=one.lost is not None)
        resources.metrics.missing(one.partition, one.missing)
    return ASGIResponse(body=resources.metrics.text(), media_type=metrics.CONTENT_TYPE)


async def examine(resources: Resources) -> Health:
    """Ask every dependency."""
    redis, (postgres, checkpoints), audits = await asyncio.gather(
        _redis(resources), _postgres(resources), _audits(resources)
    )
    projection = await _projection(resources, checkpoints if redis.status == "ok" else None)
    conservation = _conserved(audits)
    if redis.status == "down":
        status: Status = "down"
    elif postgres.status == "down" or {projection.status, conservation.status} != {"ok"}:
        status = "degraded"
    else:
        status = "ok"
    return Health(status, redis, postgres, projection, conservation)


async def _lost(resources: Resources) -> tuple[list[str], bool]:
    """The queues whose log is lost, and whether any other serves (or there are none yet)."""
    try:
        async with asyncio.timeout(PATIENCE):
            names = await resources.directory.partitions()
            lost = [name for name in names if (await resources.logs.head(name)).lost is not None]
    except (MillstreamError, TimeoutError):
        return [], True
    return lost, not lost or len(lost) < len(names)


async def _redis(resources: Resources) -> Dependency:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            with translated():
                await resources.redis.ping()
    except (MillstreamError, TimeoutError) as error:
        return Dependency("down", detail=_text(error))
    return Dependency("ok", latency_ms=_since(started))


async def _postgres(resources: Resources) -> tuple[Dependency, dict[str, Checkpoint] | None]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            found = await resources.tables.checkpoints()
    except (Problem, TimeoutError) as error:
        return Dependency("down", detail=_text(error)), None
    return Dependency("ok", latency_ms=_since(started)), found


async def _audits(resources: Resources) -> list[PartitionAudit] | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await resources.tables.audits()
    except (Problem, TimeoutError):
        return None


def _conserved(found: list[PartitionAudit] | None) -> Conservation:
    """None: it cannot be told, which is not held against the jobs."""
    if not found:
        return Conservation("ok")
    lost, doubled, stuck = (
        sum(getattr(one, kind) for one in found) for kind in ("lost", "doubled", "stuck")
    )
    status: Status = "degraded" if lost or doubled or stuck else "ok"
    checked_at = time_of(min(one.checked_at for one in found))
    return Conservation(status, checked_at, lost, doubled, stuck)


async def _projection(resources: Resources, found: dict[str, Checkpoint] | None) -> Projection:
    if found is None:
        return Projection("down", None, [])
    try:
        async with asyncio.timeout(PATIENCE):
            names = sorted({*await resources.directory.partitions(), *found})
            missing = await resources.tables.missing_events()
            each = [
                await _partition(resources, name, found.get(name), missing.get(name, 0))
                for name in names
            ]
            rebuild = await _rebuild(resources)
    except (MillstreamError, Problem, TimeoutError):
        return Projection("down", None, [])
    lags = [one.lag for one in each if one.lag is not None]
    fit = all(one.halted is None and one.lag is not None for one in each)
    return Projection("ok" if fit and not rebuild else "degraded", sum(lags), each, rebuild)


async def _rebuild(resources: Resources) -> str | None:
    version = await resources.tables.projection_version()
    if version == VERSION:
        return None
    return f"the tables hold version {version}, this release makes {VERSION}: millstream rebuild"


async def _partition(
    resources: Resources, name: str, checkpoint: Checkpoint | None, missing: int
) -> PartitionHealth:
    head = await resources.logs.head(name)
    at = f"{name}:{head.epoch}:{head.seq}"
    if checkpoint is None:
        return PartitionHealth(name, at, None, head.seq, None, head.lost, missing)
    projected = f"{name}:{checkpoint.epoch}:{checkpoint.seq}"
    same = checkpoint.epoch == head.epoch and checkpoint.seq <= head.seq
    lag = head.seq - checkpoint.seq if same else None
    return PartitionHealth(name, at, projected, lag, checkpoint.halted, head.lost, missing)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _text(error: BaseException) -> str:
    return str(error) or f"no answer within {PATIENCE:g} seconds"
