"""GET /flows, /flows/{id}, its jobs and edges: how a flow stands, and its graph page by page."""

from collections.abc import Sequence
from typing import Any

from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import InvalidCursor
from ..core.ids import is_id
from ..projections.flows import FlowCounts, FlowEdge, FlowNode
from . import lookup
from .acting import settle
from .answers import answer
from .parameters import FlowPageParameters, FlowsParameters, NoParameters, read
from .problems import INVALID, NOT_FOUND, Fault, Problem
from .resources import Resources, resources_of
from .views import Page, Time, time_of


class FlowView(Struct):
    """A flow: how many jobs it has, in all and by state; `state` of the whole: running (any has not
    ended), succeeded (all did), failed (any failed) or cancelled. Times of its first and last
    event."""

    id: str
    state: str
    first_at: Time
    last_at: Time
    total: int
    by_state: dict[str, int]


class FlowNodes(Struct):
    """A part of the jobs of a flow, in the order of their ids."""

    items: Sequence[FlowNode]
    next_cursor: str | None


class FlowEdges(Struct):
    """A part of the edges of a flow."""

    items: Sequence[FlowEdge]
    next_cursor: str | None


class FlowList(Struct):
    """A part of the flows, newest first."""

    items: Sequence[FlowView]
    next_cursor: str | None


def view_of_flow(found: FlowCounts) -> FlowView:
    """A flow as the tables count it."""
    counts = found.by_state
    live = found.total - counts["succeeded"] - counts["failed"] - counts["cancelled"]
    if live:
        state = "running"
    elif counts["failed"]:
        state = "failed"
    else:
        state = "cancelled" if counts["cancelled"] else "succeeded"
    return FlowView(
        found.id, state, time_of(found.first_at), time_of(found.last_at), found.total, counts
    )


def check_flow(flow: str) -> None:
    """Refuse what can be no flow's id. Raises Problem."""
    if not is_id(flow):
        raise no_flow(flow)


def no_flow(flow: str) -> Problem:
    """The problem of a flow that does not exist."""
    fault = Fault("$.flow_id", "expected the id of a flow", "path")
    return Problem(NOT_FOUND, f"There is no flow {flow[:80]!r}.", [fault])


async def flow_view(resources: Resources, flow: str) -> FlowView:
    """The flow, also if it was submitted a moment ago. Raises Problem."""
    check_flow(flow)
    found = await resources.tables.flow(flow)
    if found is None:
        # It is named after its last job: once the tables know that one, they know the flow.
        for partition in await resources.directory.partitions_of(flow):
            await lookup.catch_up(resources, partition)
        found = await resources.tables.flow(flow)
    if found is None:
        raise no_flow(flow)
    view = view_of_flow(found)
    if view.state != "running":
        # Tables follow each queue by itself: jobs in others may be missing yet.
        await settle(resources, None)
        view = view_of_flow(await resources.tables.flow(flow) or found)
    return view


@get("/flows")
async def list_flows(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Flows, newest first."""
    given = read(request, FlowsParameters)
    try:
        found, cursor = await resources_of(request).tables.flows(given.cursor, given.limit)
    except InvalidCursor as error:
        raise _bad_cursor(error) from None
    return answer(Page([view_of_flow(one) for one in found], cursor))


@get("/flows/{flow_id:str}")
async def get_flow(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """How a flow stands: at the same cost however many jobs it has."""
    read(request, NoParameters)
    return answer(await flow_view(resources_of(request), flow_id))


@get("/flows/{flow_id:str}/jobs")
async def get_nodes(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """The nodes of a flow's graph: its jobs with their states."""
    given = read(request, FlowPageParameters)
    resources = resources_of(request)
    await flow_view(resources, flow_id)
    try:
        found, cursor = await resources.tables.flow_jobs(flow_id, given.cursor, given.limit)
    except InvalidCursor as error:
        raise _bad_cursor(error) from None
    return answer(Page(found, cursor))


@get("/flows/{flow_id:str}/edges")
async def get_edges(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """The edges of a flow's graph: who waits for whom, be it in another flow."""
    given = read(request, FlowPageParameters)
    resources = resources_of(request)
    await flow_view(resources, flow_id)
    try:
        found, cursor = await resources.tables.flow_edges(flow_id, given.cursor, given.limit)
    except InvalidCursor as error:
        raise _bad_cursor(error) from None
    return answer(Page(found, cursor))


def _bad_cursor(error: InvalidCursor) -> Problem:
    return Problem(INVALID, f"{error}.", [Fault("$.cursor", str(error), "query")])


ROUTES = (list_flows, get_flow, get_nodes, get_edges)
