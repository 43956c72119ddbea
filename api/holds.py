"""/holds: what retention must leave alone, whatever its age."""

from typing import Annotated, Any

import structlog
from litestar import Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.ids import is_id
from ..projections.holds import Hold
from . import lookup
from .answers import answer
from .commands import By, read_command
from .fields import NO_NUL, Tag
from .origins import refuse_others
from .parameters import Cursor, Limit, Name, NoParameters, read
from .problems import INVALID, NAME_TAKEN, NOT_FOUND, Fault, Problem
from .queues import known_queue
from .resources import resources_of
from .submission import milliseconds
from .views import Page, Time, time_of

log = structlog.get_logger(__name__)


class HoldsParameters(Struct, forbid_unknown_fields=True):
    """Of GET /holds."""

    cursor: Cursor | None = None
    limit: Limit = 100


class PlaceHold(By, forbid_unknown_fields=True, kw_only=True):
    """A hold on all jobs of a `queue`, on all that have a `tag`, or on one `job`."""

    name: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]
    queue: Name | None = None
    tag: Tag | None = None
    job: Annotated[str, Meta(max_length=36)] | None = None


class HoldView(Struct):
    """A hold: on what, and who placed it when and why."""

    name: str
    queue: str | None
    tag: str | None
    job: str | None
    actor: str
    reason: str
    placed_at: Time


class Released(Struct):
    """The hold that is no more."""

    name: str


@get("/holds")
async def list_holds(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Holds, by name."""
    given = read(request, HoldsParameters)
    found = await resources_of(request).tables.holds(given.cursor or "", given.limit + 1)
    shown = found[: given.limit]
    cursor = shown[-1].name if len(found) > given.limit else None
    return answer(Page([_view_of(hold) for hold in shown], cursor))


@post("/holds", guards=[refuse_others])
async def place_hold(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Keep what would go for its age, until the hold is released."""
    resources = resources_of(request)
    read(request, NoParameters)
    given = await read_command(request, PlaceHold, optional=False)
    if [given.queue, given.tag, given.job].count(None) != 2:
        message = "expected one of queue, tag and job"
        raise Problem(INVALID, f"{message}.", [Fault("$", message)])
    if given.job is not None and not is_id(given.job):
        raise Problem(INVALID, "Expected a job id.", [Fault("$.job", "expected the id of a job")])
    if given.queue is not None:
        await known_queue(resources, given.queue, "body")
    if given.job is not None:
        await lookup.find(resources, given.job)
    hold = Hold(given.name, given.queue, given.tag, given.job, given.actor, given.reason)
    placed_at = await resources.tables.place_hold(hold)
    if placed_at is None:
        fault = Fault("$.name", "expected a name that no hold has")
        raise Problem(NAME_TAKEN, f"There is a hold {given.name!r} already.", [fault])
    log.info("hold placed", **hold._asdict())
    return answer(_view_of(hold._replace(placed_at=placed_at)), 201)


@post("/holds/{name:str}/release", status_code=200, guards=[refuse_others])
async def release_hold(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Let go what is old enough, from the next pass on."""
    read(request, NoParameters)
    by = await read_command(request, By)
    if not await resources_of(request).tables.release_hold(name):
        fault = Fault("$.name", "expected the name of a hold", "path")
        raise Problem(NOT_FOUND, f"There is no hold {name[:80]!r}.", [fault])
    log.info("hold released", name=name, actor=by.actor, reason=by.reason)
    return answer(Released(name))


def _view_of(hold: Hold) -> HoldView:
    assert hold.placed_at is not None
    return HoldView(
        name=hold.name,
        queue=hold.queue,
        tag=hold.tag,
        job=hold.job,
        actor=hold.actor,
        reason=hold.reason,
        placed_at=time_of(milliseconds(hold.placed_at)),
    )
