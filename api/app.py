"""The application: routes, problem details, CORS, and what is opened and closed with it."""

import asyncio
from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State

from ..core.config import Settings
from . import (
    actions,
    as_of,
    audits,
    commands,
    counting,
    dead_letters,
    events,
    flow_commands,
    flow_reads,
    flows,
    health,
    holds,
    jobs,
    limits,
    linker,
    openapi,
    problems,
    proofs,
    queues,
    schedule_commands,
    schedules,
    stats,
    stream,
    subjects,
    submissions,
    why,
    workers,
)
from .hosts import Hosts, refuse_host
from .resources import lifespan

PREFIX = "/api/v1"


class Api(Litestar):
    """Litestar, but for one route: a submission goes straight to its handler.

    Routing and error middleware take a sixth of the time of a submission, the call made most.
    """

    hosts: Hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["litestar_app"] = self
        try:
            await self._serve(scope, receive, send)
        except asyncio.CancelledError:
            await _leave(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        if not self.hosts.allow(scope["headers"]):
            await refuse_host(scope, receive, send)
        elif (
            scope["path"] == jobs.PATH
            and scope["method"] == "POST"
            and self.cors_config is None  # its headers are added by Litestar's middleware
        ):
            await _submit(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _leave(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request that the server cancels: it stops, and its grace is over.

    Whether it was done is not known: the same as no answer, and no error of ours.
    """
    detail = "This server is shutting down; whether the request was done is not known."
    reply = problems.reply_of(problems.Problem(problems.DRAINING, detail), scope["path"])
    try:
        await reply.as_asgi()(scope, receive, send)
    except RuntimeError:  # an answer has begun, and cannot be ended
        raise asyncio.CancelledError from None


async def _submit(scope: Any, receive: Any, send: Any) -> None:
    """What Litestar's error middleware would do. A handler answers last, so nothing fails after."""
    try:
        await jobs.post(scope, receive, send)
    except Exception as error:
        reply = problems.reply_to(error, "POST", jobs.PATH).as_asgi()
        await reply(scope, receive, send)


COUNTED = [
    submissions.submit_batch,
    stats.summary,
    jobs.get_job,
    jobs.get_events,
    jobs.get_attempts,
    as_of.get_job_diff,
    as_of.get_counts,
    as_of.get_queue_diff,
    why.get_why,
    why.get_schedule_why,
    commands.cancel,
    commands.retry,
    commands.discard,
    commands.reschedule,
    actions.act,
    dead_letters.list_dead_letters,
    events.list_events,
    stream.stream_events,
    *queues.ROUTES,
    limits.configure,
    flows.submit_flow,
    *flow_commands.ROUTES,
    *flow_reads.ROUTES,
    schedules.create,
    schedules.list_schedules,
    schedules.get_schedule,
    schedules.get_events,
    schedules.change,
    schedules.remove,
    schedule_commands.pause,
    schedule_commands.resume,
    schedule_commands.fire,
    schedule_commands.backfill,
    workers.list_workers,
    workers.list_job_types,
    subjects.erase,
    holds.list_holds,
    holds.place_hold,
    holds.release_hold,
    proofs.get_proof,
    audits.get_audit,
    health.health,
    health.livez,
    health.readyz,
]
"""All routes below the prefix but the one that must be fast, which counts for itself."""


def create_app(settings: Settings) -> Litestar:
    """The API over the servers that `settings` name; they need not be up yet."""
    counted = Router(
        path="/",
        middleware=[counting.counted],
        route_handlers=COUNTED,
    )
    routes = Router(path=PREFIX, route_handlers=[jobs.collection, counted])
    app = Api(
        route_handlers=[routes, health.prometheus, *openapi.ROUTES],
        state=State({"settings": settings}),
        lifespan=[lifespan, linker.lifespan],
        exception_handlers=dict(problems.HANDLERS.items()),
        cors_config=_cors(settings),
        request_max_body_size=settings.max_body,
        openapi_config=None,  # ours, see openapi: no signature tells what is read by hand
        logging_config=None,
        debug=False,
    )
    app.hosts = Hosts(any_host=settings.trust_network)
    return app


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["content-type", "idempotency-key"],
        expose_headers=["location", "retry-after"],
        max_age=600,
    )
