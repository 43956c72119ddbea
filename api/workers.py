"""GET /workers and /job-types: who works, and what can be submitted."""

import time
from typing import Any, Literal

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.workers import KEPT, Condition, Seen
from .answers import answer
from .parameters import NoParameters, read
from .problems import Problem
from .resources import resources_of
from .views import Time, time_of, time_or_null


class WorkerView(Struct):
    """A worker process by its last report, which is `reported_ago` seconds old.

    state       serving; draining; stalled: it has free slots and does not look for jobs, or a
                handler blocks its event loop; silent: it does not report; lost: it is gone for
                good, as far as the others can tell
    lost_at     when they said so
    version     of the code it runs, as `MILLSTREAM_CODE_VERSION` tells it
    started_at  by its own clock
    running     jobs in hand; `jobs`: the first hundred
    loop_lag    seconds its event loop was late at worst between its last two reports
    memory      bytes; null where its system does not tell
    """

    name: str
    state: Condition | Literal["lost"]
    host: str
    pid: int
    version: str
    started_at: Time
    queues: list[str]
    types: list[str]
    concurrency: int
    running: int
    jobs: list[str]
    loop_lag: float
    memory: int | None
    reported_ago: float
    lost_at: Time | None


class JobTypeView(Struct):
    """A job type as workers announced it last; the schemas are JSON Schema, null: anything.

    Submissions are held against what all live workers take, not only those of the last one.
    `executor`: where its handler runs, `loop`, `thread` or `process`.
    """

    type: str
    queue: str | None = None
    max_attempts: int | None = None
    backoff: dict[str, Any] | None = None
    timeout: float | None = None
    executor: str | None = None
    payload_schema: dict[str, Any] | None = None
    result_schema: dict[str, Any] | None = None
    workers: int = 0  #: that serve it now


class WorkerList(Struct):
    """All workers; `next_cursor` is null."""

    items: list[WorkerView]
    next_cursor: str | None


class JobTypeList(Struct):
    """All job types; `next_cursor` is null."""

    items: list[JobTypeView]
    next_cursor: str | None


class _Announced(Struct):
    """What an announcement tells; whatever a later release adds is passed over."""

    queue: str | None = None
    max_attempts: int | None = None
    backoff: dict[str, Any] | None = None
    timeout: float | None = None
    executor: str | None = None
    payload_schema: dict[str, Any] | None = None
    result_schema: dict[str, Any] | None = None


@get("/workers")
async def list_workers(request: Request[Any, Any, Any]) -> ASGIResponse:
    """All workers that reported within a day and did not leave, by name."""
    read(request, NoParameters)
    found = await _seen(request)
    lost = await _lost(request) if any(seen.condition == "silent" for seen in found) else {}
    return answer(WorkerList([_view_of(seen, lost) for seen in found], None))


@get("/job-types")
async def list_job_types(request: Request[Any, Any, Any]) -> ASGIResponse:
    """All job types that workers ever announced, by name."""
    read(request, NoParameters)
    serving = [seen for seen in await _seen(request) if seen.condition == "serving"]
    announced = await resources_of(request).directory.types()
    items = [_type_of(name, announced[name], serving) for name in sorted(announced)]
    return answer(JobTypeList(items, None))


async def _seen(request: Request[Any, Any, Any]) -> list[Seen]:
    return await resources_of(request).workers.all()


async def _lost(request: Request[Any, Any, Any]) -> dict[str, int]:
    """Who was lost lately, and when; while PostgreSQL is down they are only silent."""
    since = time.time_ns() // 1_000_000 - round(KEPT * 1000)
    try:
        return await resources_of(request).tables.lost_workers(since)
    except Problem:
        return {}


def _view_of(seen: Seen, lost: dict[str, int]) -> WorkerView:
    report = seen.report
    lost_at = lost.get(report.name) if seen.condition == "silent" else None
    return WorkerView(
        name=report.name,
        state=seen.condition if lost_at is None else "lost",
        host=report.host,
        pid=report.pid,
        version=report.version,
        started_at=time_of(report.started_at),
        queues=report.queues,
        types=report.types,
        concurrency=report.concurrency,
        running=report.running,
        jobs=report.jobs,
        loop_lag=report.loop_lag,
        memory=report.memory or None,
        reported_ago=round(seen.age, 1),
        lost_at=time_or_null(lost_at),
    )


def _type_of(name: str, text: bytes, serving: list[Seen]) -> JobTypeView:
    try:
        told = msgspec.json.decode(text, type=_Announced)
    except msgspec.MsgspecError:  # of a later release, in a form not known here
        told = _Announced()
    workers = sum(name in seen.report.types for seen in serving)
    return JobTypeView(name, **msgspec.structs.asdict(told), workers=workers)
