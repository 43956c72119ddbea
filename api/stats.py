"""GET /jobs/stats/summary."""

from typing import Any

from litestar import Request, get
from litestar.response.base import ASGIResponse

from .answers import answer
from .parameters import SummaryParameters, read
from .resources import resources_of
from .views import summary_of


@get("/jobs/stats/summary")
async def summary(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Counts by state, success rate, and percentiles of waiting and running."""
    given = read(request, SummaryParameters)
    return answer(summary_of(await resources_of(request).tables.summary(given.queue, given.type)))
