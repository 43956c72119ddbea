"""GET /dead-letters: failed jobs that are alike, group by group."""

from typing import Any

from litestar import Request, get
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import InvalidCursor
from ..projections.dead_letters import DeadLetterFilter, DeadLetters
from .answers import answer
from .parameters import DeadLetterParameters, read
from .problems import INVALID, Fault, Problem
from .resources import resources_of
from .views import Page, Time, time_of


class DeadLettersView(Struct, gc=False):
    """Failed jobs that are alike, and were neither run again nor discarded since.

    `first_at`, `last_at`: when a job first failed so, ever, and when one did last; `sample`: that
    last one, which may have been run again.
    """

    fingerprint: str
    label: str
    reason: str
    queue: str
    type: str
    count: int
    first_at: Time
    last_at: Time
    sample: str


@get("/dead-letters")
async def list_dead_letters(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Groups of dead letters, the one with the latest failure first."""
    given = read(request, DeadLetterParameters)
    wanted = DeadLetterFilter(given.queue, given.type, given.fingerprint)
    try:
        page = await resources_of(request).tables.dead_letters(wanted, given.cursor, given.limit)
    except InvalidCursor as error:
        raise Problem(INVALID, f"{error}.", [Fault("$.cursor", str(error), "query")]) from None
    return answer(Page([_view_of(group) for group in page.items], page.next_cursor))


def _view_of(group: DeadLetters) -> DeadLettersView:
    return DeadLettersView(
        fingerprint=group.fingerprint,
        label=group.label,
        reason=group.reason,
        queue=group.queue,
        type=group.type,
        count=group.count,
        first_at=time_of(group.first_at),
        last_at=time_of(group.last_at),
        sample=group.sample,
    )
