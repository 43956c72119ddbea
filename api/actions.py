"""POST /jobs/actions: what an operator does to all jobs that match a filter."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from litestar import Request, post
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.jobs import LIVE, WAITING, JobState
from ..projections.listing import JobFilter
from . import acting, times
from .answers import answer
from .commands import REDRIVABLE, By, read_command
from .origins import refuse_others
from .parameters import Cursor, ErrorText, Name, NoParameters, read
from .problems import UNPROCESSABLE, Fault, Problem
from .resources import Resources, resources_of
from .submission import Instant, Seconds, milliseconds

MOST = 10_000

ActionName = Literal["cancel", "retry", "reschedule"]
_States = Annotated[list[JobState], Meta(min_length=1)]

POSSIBLE: Mapping[ActionName, frozenset[JobState]] = {
    "cancel": LIVE,
    "retry": frozenset(REDRIVABLE),
    "reschedule": WAITING,
}
"""States of jobs that an action can do something to."""

USUAL = POSSIBLE | {"retry": frozenset({JobState.FAILED})}
"""States it is meant for when the filter names none: who cancelled a job did not want it to run."""


class ActionFilter(Struct, forbid_unknown_fields=True):
    """Which jobs: those that meet all conditions given, as in the list of jobs."""

    state: JobState | _States | None = None
    type: Name | None = None
    queue: Name | None = None
    tag: Name | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None
    error: ErrorText | None = None


class Action(By, forbid_unknown_fields=True, kw_only=True):
    """What to do to which jobs. `run_at` or `delay`: of reschedule, and needed there."""

    action: ActionName
    filter: ActionFilter
    dry_run: Annotated[bool, Meta(description="Only say how many.")] = False
    limit: Annotated[int, Meta(ge=1, le=MOST, description="Most jobs of one request.")] = MOST
    cursor: Cursor | None = None
    run_at: Instant | None = None
    delay: Seconds | None = None


class ActionResult(Struct):
    """What became of the jobs that matched: how many were changed, and how many were not, since
    they had changed meanwhile, each by outcome; `next_cursor`: more may match."""

    action: ActionName
    dry_run: bool
    matched: int
    changed: int
    outcomes: dict[str, int]
    skipped: dict[str, int]
    next_cursor: str | None


@post("/jobs/actions", status_code=200, guards=[refuse_others])
async def act(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Cancel, retry or reschedule all jobs that match a filter, or say how many."""
    resources = resources_of(request)
    read(request, NoParameters)
    given = await read_command(request, Action, optional=False)
    wanted = _wanted(given)
    apply = _verb(resources, given)
    if given.cursor is None:
        await acting.settle(resources, given.filter.queue)
    tally = acting.Tally()
    cursor = await acting.act(
        resources, wanted, None if given.dry_run else apply, tally, given.cursor, given.limit
    )
    return answer(
        ActionResult(
            action=given.action,
            dry_run=given.dry_run,
            matched=tally.matched,
            changed=tally.changed.total(),
            outcomes=tally.changed,
            skipped=tally.skipped,
            next_cursor=cursor,
        )
    )


def _verb(resources: Resources, given: Action) -> acting.Apply:
    if given.action == "reschedule":
        due = times.due_of(resources, given.run_at, given.delay)
        return acting.rescheduling(resources, due, given.event())
    for name in ("run_at", "delay"):
        if getattr(given, name) is not None:
            raise _refused(f"$.{name}", f"expected it with reschedule only, got {given.action}")
    if given.action == "retry":
        return acting.retrying(resources, given.event())
    return acting.cancelling(resources, given.event())


def _wanted(given: Action) -> JobFilter:
    """The jobs asked for, in the states the action can change. Raises Problem."""
    chosen = given.filter
    if all(getattr(chosen, field) is None for field in chosen.__struct_fields__):
        fields = ", ".join(chosen.__struct_fields__)
        raise _refused("$.filter", f"expected at least one of {fields}; got none")
    return JobFilter(
        states=_states(given.action, chosen.state),
        type=chosen.type,
        queue=chosen.queue,
        tag=chosen.tag,
        error=chosen.error,
        created_after=chosen.created_after and milliseconds(chosen.created_after),
        created_before=chosen.created_before and milliseconds(chosen.created_before),
    )


def _states(action: ActionName, given: JobState | list[JobState] | None) -> tuple[JobState, ...]:
    if given is None:
        return tuple(sorted(USUAL[action]))
    states = given if isinstance(given, list) else [given]
    for index, state in enumerate(states):
        if state not in POSSIBLE[action]:
            known = ", ".join(sorted(POSSIBLE[action]))
            path = f"$.filter.state[{index}]" if isinstance(given, list) else "$.filter.state"
            raise _refused(path, f"expected for {action} one of {known}; got {state.value}")
    return tuple(dict.fromkeys(states))


def _refused(path: str, message: str) -> Problem:
    return Problem(UNPROCESSABLE, f"{message} (at {path}).", [Fault(path, message)])
