"""What each route takes and answers, as the OpenAPI document tells it."""

from typing import Any, NamedTuple

from msgspec import Struct

from . import parameters
from .commands import By, Outcome
from .health import Health
from .submission import Accepted, Batch, LoneSubmission
from .submissions import Receipts
from .views import EventView, JobView, SummaryView


class JobList(Struct):
    """A part of the list of jobs; `next_cursor` leads to the next part, null at the end."""

    items: list[JobView]
    next_cursor: str | None


class EventList(Struct):
    """A part of a history; `next_cursor` leads to the next part, null at the end."""

    items: list[EventView]
    next_cursor: str | None


class Status(Struct):
    """Whether it is so."""

    status: str


class Operation(NamedTuple):
    """One method of one path. `problems`: statuses with problem details."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answer: type
    status: int = 200
    query: type[Struct] = parameters.NoParameters
    body: type | None = None
    body_required: bool = True
    problems: tuple[int, ...] = ()
    also: tuple[int, ...] = ()  #: further statuses with the same answer
    example: Any = None
    keyed: bool = False  #: takes an Idempotency-Key


_BODY = (400, 408, 413, 415)
_EXAMPLE = {"type": "email.send", "payload": {"to": "ada@example.org"}, "delay": 30}

OPERATIONS = (
    Operation(
        "post", "/jobs", "submitJob", "jobs", "Submit a job", Accepted, 201,
        body=LoneSubmission, problems=(*_BODY, 422, 503), also=(200,), example=_EXAMPLE,
        keyed=True,
    ),
    Operation(
        "post", "/jobs/batch", "submitBatch", "jobs",
        "Submit up to 10,000 jobs; all are checked before any is accepted", Receipts, 201,
        body=Batch, problems=(*_BODY, 422, 503), also=(200,), example={"jobs": [_EXAMPLE]},
        keyed=True,
    ),
    Operation(
        "get", "/jobs", "listJobs", "jobs", "List jobs, newest first", JobList,
        query=parameters.ListParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}", "getJob", "jobs",
        "One job; with `wait` when it has ended", JobView,
        query=parameters.JobParameters, problems=(400, 404, 422, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}/events", "listJobEvents", "jobs", "The history of a job", EventList,
        query=parameters.EventParameters, problems=(400, 404, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/cancel", "cancelJob", "jobs",
        "Cancel a job: a waiting one at once, a running one by asking its worker", Outcome,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/retry", "retryJob", "jobs",
        "Run a failed or cancelled job again, with fresh attempts", Outcome,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "get", "/jobs/stats/summary", "summarize", "statistics",
        "Jobs by state, success rate, percentiles of waiting and running", SummaryView,
        query=parameters.SummaryParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/health", "getHealth", "health",
        "Every dependency, and the projection's lag by partition", Health,
        problems=(400,), also=(503,),
    ),
    Operation(
        "get", "/livez", "isAlive", "health", "Whether this process serves", Status,
        problems=(400,),
    ),
    Operation(
        "get", "/readyz", "isReady", "health", "Whether jobs can be submitted here", Status,
        problems=(400,), also=(503,),
    ),
)  # fmt: skip
"""All of them but `/metrics`, which has a format of its own."""
