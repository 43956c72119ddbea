"""POST /flows: jobs that depend on each other are submitted as one.

The parents of a job are submitted before it, each with the ids of those that wait for it. So a
request that breaks off leaves jobs that wait for nothing that is not there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from litestar import Request, post
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import MillstreamError
from ..core.events import body_of
from ..core.ids import new_id
from ..core.linking import Outcome
from ..core.queue import CHEAP_BATCH
from . import flow_shapes as shapes
from . import submission as sub
from .answers import answer
from .bodies import check_strict, read_keyed
from .flow_shapes import Plan
from .idempotency import Agreement, check_key
from .misfits import invalid
from .orders import Order, Place
from .parents import Wish, resolve, with_ends
from .problems import Problem, problem_of
from .resources import Resources, resources_of
from .submission import Accepted, Defaults, accepted
from .submissions import bounds_of, defaults_of, orders_of, refuse_draining


class FlowItem(Accepted, gc=False):
    """A job of a flow that was accepted; `key` as it was given."""

    key: str | None = None


class FlowAccepted(Struct):
    """A flow that was accepted: its id, and one item per job in the order of the request."""

    id: str
    items: list[FlowItem]


@post("/flows")
async def submit_flow(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Submit jobs that depend on each other; all are checked before any is accepted."""
    resources = resources_of(request)
    settings = resources.settings
    body, keys = await read_keyed(request.scope, request.receive, settings.max_body)
    key = check_key(keys)
    check_strict(body, settings.max_depth)
    await asyncio.sleep(0)
    try:
        flow = shapes.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, shapes.Flow) from None
    plan = shapes.plan_of(flow)
    bounds = bounds_of(resources)
    if key is None:
        found = await _checked(resources, plan, bounds)
        agreed = None
    else:
        agreed = await resources.idempotency.agree(
            key, body, bounds.now, lambda: _checked(resources, plan, bounds)
        )
        found = agreed.terms.defaults_of(len(plan.members))
        bounds = bounds._replace(now=agreed.terms.now)
    jobs, paths = _plain(plan), [one.path for one in plan.members]
    orders = await resources.encryption.encrypt(jobs, orders_of(jobs, found, bounds, paths))
    sending = _Sending(resources, plan, found, orders, agreed)
    items = await sending.send()
    old = all(item.deduplicated for item in items)
    return answer(FlowAccepted(sending.flow, items), 200 if old else 201)


async def _checked(resources: Resources, plan: Plan, bounds: sub.Bounds) -> list[Defaults]:
    """Queue and defaults of each member, all of which are acceptable. Raises Problem."""
    jobs, paths = [one.job for one in plan.members], [one.path for one in plan.members]
    found = await defaults_of(resources, jobs, paths)
    orders_of(_plain(plan), found, bounds, paths)
    await resources.payloads.check(jobs, paths)
    return found


def _plain(plan: Plan) -> list[sub.Submission]:
    """The jobs without what they depend on: that is said in another way than specs do."""
    return [
        msgspec.structs.replace(one.job, depends_on=msgspec.UNSET, on_parent_failure=None)
        for one in plan.members
    ]


class _Sending:
    """A flow on its way into the queues."""

    def __init__(
        self,
        resources: Resources,
        plan: Plan,
        found: Sequence[Defaults],
        orders: Sequence[Order],
        agreed: Agreement | None,
    ) -> None:
        self._resources = resources
        self._plan = plan
        self._queues = [one.queue for one in found]
        order = sorted(plan.order, key=lambda i: (plan.levels[i], self._queues[i]))
        self._order = order
        ids = {i: _id(agreed, i, self._queues[i]) for i in order}
        self.flow = ids[order[-1]]
        self._orders = self._linked(orders, ids, agreed)
        self._places: dict[int, Place] = {}
        self._ended: dict[str, Outcome] = {}
        self._over: set[str] = set()

    def _linked(
        self, orders: Sequence[Order], ids: Mapping[int, str], agreed: Agreement | None
    ) -> list[Order]:
        members = self._plan.members
        before: list[list[str]] = [[] for _ in members]
        linked: list[Order] = []
        for index, member in enumerate(members):
            mark = "*" if member.job.on_parent_failure == "wait" else ""
            for parent in member.parents:
                before[parent].append(ids[index] + mark)
        for index, (order, member) in enumerate(zip(orders, members, strict=True)):
            depends_on = [ids[parent] for parent in member.parents] + member.others
            waits = bool(depends_on) or index == self._plan.open
            spec = msgspec.structs.replace(
                order.spec,
                flow=self.flow,
                depends_on=depends_on,
                on_parent_failure=(member.job.on_parent_failure or "fail") if waits else None,
                open=index == self._plan.open,
            )
            once = None if agreed is None else agreed.once(index)
            linked.append(order._replace(spec=spec, id=ids[index], before=before[index], once=once))
        return linked

    async def send(self) -> list[FlowItem]:
        """Submit all, parents first. Raises Problem, which names what was accepted, if any was."""
        queues = list(dict.fromkeys(self._queues))
        await refuse_draining(self._resources, queues)
        for queue in queues:
            # Before any parent can end: who tells its end must know where to look.
            await self._resources.submitter.link(queue)
        self._ended = await resolve(self._resources, list(self._wishes()))
        for queue, run in groupby(self._order, self._queues.__getitem__):
            part = list(run)
            for first in range(0, len(part), CHEAP_BATCH):
                await self._send(queue, part[first : first + CHEAP_BATCH])
        taken = self._places.values()
        self._resources.metrics.submitted(sum(place.duplicate is None for place in taken))
        return [self._item(index) for index in range(len(self._orders))]

    def _wishes(self, over: frozenset[str] | None = None) -> list[Wish]:
        """What members wish of jobs that were there before, or of those in `over`."""
        wishes: list[Wish] = []
        for member, order in zip(self._plan.members, self._orders, strict=True):
            assert order.id is not None
            wanted = member.others if over is None else over.intersection(order.spec.depends_on)
            stays = order.spec.on_parent_failure == "wait"
            path = f"{member.path}.depends_on"
            wishes += [Wish(order.id, parent, stays, path) for parent in wanted]
        return wishes

    async def _send(self, queue: str, part: Sequence[int]) -> None:
        try:
            orders = await self._told([self._orders[index] for index in part])
            bodies = [body_of(order.spec) for order in orders]
            places = await self._resources.submitter.send(queue, orders, bodies)
        except (MillstreamError, Problem) as error:
            raise self._interrupted(error) from error
        for index, place in zip(part, places, strict=True):
            self._places[index] = place
            if place.duplicate is not None and place.duplicate.state is None:
                self._over.add(place.id)

    async def _told(self, orders: Sequence[Order]) -> list[Order]:
        """The orders, told how their parents ended: a request sent again finds that some have."""
        if self._over:
            wanted = {parent for order in orders for parent in order.spec.depends_on}
            unknown = frozenset((wanted & self._over) - self._ended.keys())
            if unknown:
                self._ended |= await resolve(self._resources, self._wishes(unknown))
        return [with_ends(order, self._ended) for order in orders] if self._ended else list(orders)

    def _item(self, index: int) -> FlowItem:
        one = accepted(self._places[index], self._queues[index], self._orders[index].spec)
        key = self._plan.members[index].job.key
        return FlowItem(one.id, one.queue, one.state, one.position, one.deduplicated, key)

    def _interrupted(self, error: MillstreamError | Problem) -> Problem:
        problem = error if isinstance(error, Problem) else problem_of(error)
        count = len(self._places)
        if not count:
            return problem
        detail = f"{problem.detail} {count} of {len(self._orders)} jobs are accepted: see items."
        items = [
            None if place is None else {"id": place.id, "position": place.position}
            for place in map(self._places.get, range(len(self._orders)))
        ]
        return Problem(problem.kind, detail, accepted=count, items=items, flow=self.flow)


def _id(agreed: Agreement | None, index: int, queue: str) -> str:
    return new_id(queue) if agreed is None else agreed.id(index, queue)
