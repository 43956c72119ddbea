"""Query parameters, read into structs: unknown, repeated and malformed ones are refused by name."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request
from msgspec import Meta, Struct

from ..core.events import parse_position
from .fields import NO_NUL, Instant
from .misfits import invalid
from .problems import INVALID, Fault, Problem

S = TypeVar("S", bound=Struct)

MAX_WAIT = 60
MAX_LIMIT = 500
MAX_QUEUES = 200

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]
ErrorText = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
EventType = Annotated[str, Meta(pattern=r"^[a-z]+\.[a-z_]+$", max_length=64)]
FingerprintText = Annotated[
    str, Meta(pattern="^[0-9a-f]{16}$", description="Of failed jobs: as in the dead letters.")
]
CommandText = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="Of the action that ran the jobs again."),
]
FlowId = Annotated[
    str,
    Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="They are part of."),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Most items of one answer.")]
_CURSOR = "`next_cursor` of the answer before."
Cursor = Annotated[str, Meta(min_length=1, max_length=512, pattern=NO_NUL, description=_CURSOR)]
Position = Annotated[str, Meta(max_length=200, description="The answer must include this event.")]

At = Annotated[
    datetime, Meta(tz=True, description="As it was then, by the time of the log; not in future.")
]


class JobParameters(Struct, forbid_unknown_fields=True):
    """Of GET /jobs/{id}."""

    wait: Annotated[
        float, Meta(ge=0, le=MAX_WAIT, description="Seconds to wait for the job to end.")
    ] = 0
    after: Position | None = None
    at: At | None = None


class ListParameters(Struct, forbid_unknown_fields=True):
    """Of GET /jobs; `state` may be repeated, or hold several with commas."""

    state: Annotated[list[str], Meta(description="One or more states.")] = []
    type: Name | None = None
    queue: Name | None = None
    tag: Name | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None
    error: ErrorText | None = None
    fingerprint: FingerprintText | None = None
    discarded: (
        Annotated[bool, Meta(description="Failed jobs: no dead letters any more?")] | None
    ) = None
    command: CommandText | None = None
    flow: FlowId | None = None
    at: At | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class FlowsParameters(Struct, forbid_unknown_fields=True):
    """Of GET /flows."""

    cursor: Cursor | None = None
    limit: Limit = 50


class FlowPageParameters(Struct, forbid_unknown_fields=True):
    """Of GET /flows/{id}/jobs and /edges."""

    cursor: Cursor | None = None
    limit: Limit = 200


class BetweenParameters(Struct, forbid_unknown_fields=True):
    """Of what changed between two instants; without the second, up to now."""

    from_: Instant = msgspec.field(name="from")
    to: Instant | None = None


class CountsParameters(Struct, forbid_unknown_fields=True):
    """Of GET /queues/{queue}/counts; without an instant, now."""

    at: At | None = None


class EventParameters(Struct, forbid_unknown_fields=True):
    """Of GET /jobs/{id}/events and /attempts."""

    cursor: Cursor | None = None
    limit: Limit = 100


class LogParameters(Struct, forbid_unknown_fields=True):
    """Of GET /events; `queue` and `type` may be repeated, or hold several with commas."""

    queue: Annotated[list[Name], Meta(description="Default: all.", max_length=MAX_QUEUES)] = []
    type: Annotated[list[EventType], Meta(description="Of events.", max_length=100)] = []
    job: Annotated[str, Meta(description="Only events of this job.", max_length=36)] | None = None
    actor: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)] | None = None
    from_: Annotated[datetime, Meta(tz=True)] | None = msgspec.field(name="from", default=None)
    to: Annotated[datetime, Meta(tz=True, description="Not included.")] | None = None
    cursor: Annotated[str, Meta(min_length=1, max_length=32_768, description=_CURSOR)] | None = None
    limit: Limit = 100


class StreamParameters(Struct, forbid_unknown_fields=True):
    """Of GET /events/stream, which goes on after the header Last-Event-ID, or `cursor`."""

    queue: Annotated[list[Name], Meta(description="Default: all.", max_length=MAX_QUEUES)] = []
    type: Annotated[list[EventType], Meta(description="Of events.", max_length=100)] = []
    actor: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)] | None = None
    cursor: Annotated[str, Meta(min_length=1, max_length=32_768)] | None = None


class SummaryParameters(Struct, forbid_unknown_fields=True):
    """Of GET /jobs/stats/summary."""

    queue: Name | None = None
    type: Name | None = None


class DeadLetterParameters(Struct, forbid_unknown_fields=True):
    """Of GET /dead-letters."""

    queue: Name | None = None
    type: Name | None = None
    fingerprint: FingerprintText | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class SchedulesParameters(Struct, forbid_unknown_fields=True):
    """Of GET /schedules."""

    queue: Name | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


class NextParameters(Struct, forbid_unknown_fields=True):
    """Of GET /schedules/{name}."""

    next: Annotated[int, Meta(ge=0, le=1000, description="How many occurrences to tell.")] = 5


class ByParameters(Struct, forbid_unknown_fields=True):
    """Of calls whose body says what is to be: who does it, and why."""

    actor: Annotated[str, Meta(max_length=200, pattern=NO_NUL)] = ""
    reason: Annotated[str, Meta(max_length=2000, pattern=NO_NUL)] = ""


class NoParameters(Struct, forbid_unknown_fields=True):
    """Of routes that take none."""


def read(request: Request[Any, Any, Any], shape: type[S]) -> S:
    """The query parameters as `shape`. Raises Problem."""
    given: dict[str, Any] = {}
    lists = {field.name for field in msgspec.structs.fields(shape) if field.default_factory is list}
    for name, value in request.query_params.multi_items():
        if name in lists:
            given.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in given:
            fault = Fault(f"$.{name}", "expected the parameter once, got it again", "query")
            raise Problem(INVALID, f"The query parameter {name} is given twice.", [fault])
        else:
            given[name] = value
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, given, shape, "query") from None


def read_position(text: str) -> tuple[str, int, int]:
    """Partition, epoch and seq of a position. Raises Problem."""
    try:
        return parse_position(text)
    except ValueError as error:
        raise Problem(INVALID, f"{error}.", [Fault("$.after", str(error), "query")]) from None
