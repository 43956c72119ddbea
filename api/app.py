"""The application: routes, problem details, CORS, and what is opened and closed with it."""

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State

from ..core.config import Settings
from . import commands, counting, health, jobs, openapi, problems, stats, submissions
from .resources import lifespan

PREFIX = "/api/v1"


def create_app(settings: Settings) -> Litestar:
    """The API over the servers that `settings` name; they need not be up yet."""
    counted = Router(
        path="/",
        middleware=[counting.counted],
        route_handlers=[
            submissions.submit_batch,
            stats.summary,
            jobs.get_job,
            jobs.get_events,
            commands.cancel,
            commands.retry,
            health.health,
            health.livez,
            health.readyz,
        ],
    )
    routes = Router(path=PREFIX, route_handlers=[jobs.collection, counted])
    return Litestar(
        route_handlers=[routes, health.prometheus, *openapi.ROUTES],
        state=State({"settings": settings}),
        lifespan=[lifespan],
        exception_handlers=dict(problems.HANDLERS),
        cors_config=_cors(settings),
        request_max_body_size=settings.max_body,
        openapi_config=None,  # ours, see openapi: no signature tells what is read by hand
        logging_config=None,
        debug=False,
    )


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "OPTIONS"],
        allow_headers=["content-type", "idempotency-key"],
        expose_headers=["location", "retry-after"],
        max_age=600,
    )
