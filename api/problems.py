"""Problem details (RFC 9457): the one shape of everything that goes wrong over HTTP."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.response.base import ASGIResponse

from ..core.errors import (
    Behind,
    HistoryLost,
    LogLost,
    MemoryFull,
    MillstreamError,
    QueueDraining,
    TablesUnavailable,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"

Place = Literal["body", "query", "path", "header"]

log = structlog.get_logger(__name__)


class Fault(msgspec.Struct, frozen=True, rename={"where": "in"}):
    """One thing wrong with a request: where (`$.jobs[3].priority`), and what was expected."""

    path: str
    message: str
    where: Place = "body"


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """What a client is sent when a request fails; `errors` names each fault found."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: Sequence[Fault] = ()


class Kind(NamedTuple):
    """A sort of problem: the last part of its `type`, its status and its title."""

    name: str
    status: int
    title: str
    retry_after: int = 0


INVALID = Kind("invalid-request", 400, "The request is not valid")
NOT_JSON = Kind("not-json", 400, "The body is not acceptable JSON")
TOO_DEEP = Kind("too-deep", 400, "The payload is nested too deep")
UNKNOWN_TYPE = Kind("unknown-job-type", 422, "No worker knows this job type")
INVALID_PAYLOAD = Kind("invalid-payload", 422, "No worker takes such a payload")
UNPROCESSABLE = Kind("unacceptable-value", 422, "A value cannot be accepted")
KEY_REUSED = Kind("idempotency-key-reused", 422, "The key stands for another request")
LEVEL_REFUSED = Kind("level-not-available", 422, "The servers do not give this acknowledgement")
LEVEL_MISSING = Kind("level-not-available", 503, "This acknowledgement cannot be given now", 5)
UNCONFIRMED = Kind("not-confirmed", 503, "Accepted, but not confirmed at the level asked for")
TOO_SLOW = Kind("too-slow", 408, "The body did not come in time")
TOO_LARGE = Kind("too-large", 413, "The body is too large")
MEDIA = Kind("unsupported-media-type", 415, "The body is not of a type taken here")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
NOT_SEALED = Kind("not-sealed", 409, "The event is not sealed yet")
CONFLICT = Kind("conflict", 409, "How things stand does not allow that")
NAME_TAKEN = Kind("conflict", 409, "The name is taken")
QUEUE_DRAINING = Kind("queue-draining", 409, "The queue takes no jobs")
FORBIDDEN = Kind("cross-origin", 403, "Pages of other origins may not do that")
MISDIRECTED = Kind("misdirected", 421, "This server is not that host")
REDIS_DOWN = Kind("redis-unavailable", 503, "Redis does not answer", 2)
TABLES_DOWN = Kind("postgresql-unavailable", 503, "PostgreSQL does not answer", 5)
BEHIND = Kind("projection-behind", 503, "The tables have not caught up", 2)
BUSY = Kind("too-many-waiting", 503, "Too many submissions wait for Redis", 1)
HISTORY_LOST = Kind("history-lost", 410, "The events that would tell are not kept")
MEMORY_FULL = Kind("memory-full", 503, "No memory for new jobs", 10)
LOG_LOST = Kind("log-lost", 503, "The event log of a queue is lost", 60)
DRAINING = Kind("draining", 503, "This server is shutting down", 1)
INTERNAL = Kind("internal-error", 500, "Something went wrong here")


MAX_FAULTS = 20
"""Most faults that a problem names."""


class Problem(Exception):
    """A request that fails; `more` adds members to the problem details."""

    def __init__(
        self, kind: Kind, detail: str, errors: Sequence[Fault] = (), **more: object
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.more = more


class Reply(NamedTuple):
    """An answer before it is any framework's."""

    status: int
    body: bytes
    headers: dict[str, str]

    def as_asgi(self) -> ASGIResponse:
        """To be sent by itself."""
        return ASGIResponse(
            body=self.body, status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers
        )

    def as_response(self) -> Response[bytes]:
        """To be returned to Litestar."""
        return Response(
            self.body, status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers
        )


def reply_of(problem: Problem, path: str, headers: Mapping[str, str] | None = None) -> Reply:
    """The answer that tells a client of `problem`, met at `path`."""
    kind = problem.kind
    details = ProblemDetails(
        type=f"urn:millstream:problem:{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        instance=quote(path, safe="/"),
        errors=problem.errors,
    )
    body: Any = details
    if problem.more:
        body = msgspec.to_builtins(details) | msgspec.to_builtins(problem.more)
    sent = dict(headers or {}) | {"cache-control": "no-store"}
    if kind.retry_after:
        sent["retry-after"] = str(kind.retry_after)
    return Reply(kind.status, msgspec.json.encode(body), sent)


def unacceptable(path: str, message: str) -> Problem:
    """The problem of a value of the right shape that cannot be; where in the body it is."""
    return Problem(UNPROCESSABLE, f"{message} (at {path}).", [Fault(path, message)])


def faulty(kind: Kind, faults: Sequence[Fault]) -> Problem:
    """The problem of a request with faults, of which the first ones are named."""
    first, more = faults[0], len(faults) - 1
    detail = f"{first.message} (at {first.path})" + (f", and {more} more faults." if more else ".")
    return Problem(kind, detail, faults[:MAX_FAULTS])


def problem_of(error: MillstreamError) -> Problem:
    """What an error of ours means to a client."""
    match error:
        case MemoryFull():
            return Problem(MEMORY_FULL, "Redis has reached its memory bound; nothing was accepted.")
        case LogLost():
            return Problem(
                LOG_LOST, f"{error}. Nothing is accepted for this queue before a restore."
            )
        case QueueDraining():
            detail = str(error).partition("DRAINING queue ")[2]
            return Problem(QUEUE_DRAINING, f"Queue {detail}.")
        case TablesUnavailable():
            return Problem(TABLES_DOWN, f"{error}. Submissions are taken all the same.")
        case Behind():
            return Problem(BEHIND, f"{error}.")
        case HistoryLost():
            return Problem(HISTORY_LOST, f"{error}.")
        case Unavailable():
            return Problem(REDIS_DOWN, f"{error}. What was asked may have been done.")
        case _:
            log.error("request failed", error=str(error), kind=type(error).__name__)
            return Problem(INTERNAL, "The server could not do what was asked; its log says why.")


def status_of(error: Exception) -> int:
    """The status an error is answered with."""
    match error:
        case Problem():
            return error.kind.status
        case MillstreamError():
            return problem_of(error).kind.status
        case HTTPException():
            return error.status_code
        case _:
            return INTERNAL.status


def reply_to(error: Exception, method: str, path: str) -> Reply:
    """The answer to a request that ended in `error`; what nobody foresaw is logged."""
    match error:
        case Problem():
            return reply_of(error, path)
        case MillstreamError():
            return reply_of(problem_of(error), path)
        case HTTPException() if error.status_code < 500:
            return _http(error, method, path)
        case _:
            log.error("unforeseen error", method=method, path=path, exc_info=error)
            detail = "The server failed in a way nobody foresaw; its log says more."
            return reply_of(Problem(INTERNAL, detail), path)


def _http(error: HTTPException, method: str, path: str) -> Reply:
    status = error.status_code
    detail = {
        404: f"There is nothing at {path}.",
        405: f"{method} is not a method of {path}.",
    }.get(status, error.detail)
    kind = Kind(f"http-{status}", status, HTTPStatus(status).phrase)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return reply_of(Problem(kind, detail), path, headers)


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return reply_to(error, request.scope["method"], request.scope["path"]).as_response()


HANDLERS: Mapping[int | type[Exception], Any] = {
    Problem: _answer,
    MillstreamError: _answer,
    HTTPException: _answer,
    Exception: _answer,
}
"""Exception → answer, for the application."""
