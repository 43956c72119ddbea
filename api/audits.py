"""GET /audit: whether every job that was accepted is still going somewhere."""

from typing import Any

from litestar import Request, get
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..projections.conservation.reading import PartitionAudit
from .answers import answer
from .parameters import NoParameters, read
from .resources import resources_of
from .views import Time, time_of


class AuditedJob(Struct):
    """A job that goes nowhere, and why that is thought."""

    id: str
    why: str


class AuditView(Struct):
    """What the projector saw of a queue's live jobs.

    checked_at  when it last said so; it does every ten seconds
    jobs        live ones in the last whole round
    lost        the tables say that it lives, Redis knows nothing of it
    doubled     it could run twice at once, or was told to end twice
    stuck       it is due, and nothing known holds it back
    examples    the first hundred of each
    """

    queue: str
    checked_at: Time
    jobs: int
    lost: int
    doubled: int
    stuck: int
    examples: dict[str, list[AuditedJob]]


class AuditList(Struct):
    """All queues that were audited, and the sums over them."""

    lost: int
    doubled: int
    stuck: int
    items: list[AuditView]


@get("/audit")
async def get_audit(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Jobs that are lost, doubled or stuck, queue by queue."""
    read(request, NoParameters)
    found = await resources_of(request).tables.audits()
    shown = AuditList(
        lost=sum(one.lost for one in found),
        doubled=sum(one.doubled for one in found),
        stuck=sum(one.stuck for one in found),
        items=[_view(one) for one in found],
    )
    return answer(shown)


def _view(one: PartitionAudit) -> AuditView:
    examples = {
        kind: [AuditedJob(job, why) for job, why in jobs.items()]
        for kind, jobs in one.examples.items()
    }
    return AuditView(
        one.partition,
        time_of(one.checked_at),
        one.jobs,
        one.lost,
        one.doubled,
        one.stuck,
        examples,
    )
