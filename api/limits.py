"""PATCH /queues/{queue}: limits, changed while jobs run."""

from typing import Annotated, Any

from litestar import Request, patch
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.errors import InvalidName
from ..core.events import QueueConfigured
from ..core.keys import check_queue
from ..core.limits import QueueLimits, bounds_of, changed, limits_of
from .answers import answer
from .commands import read_command
from .origins import refuse_others
from .parameters import NoParameters, read
from .problems import INVALID, Fault, Problem
from .resources import resources_of


class Configure(QueueLimits, frozen=True, forbid_unknown_fields=True):
    """What is to change. What is left out stays, null takes a limit away."""

    actor: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=2000)] = ""


class Configured(Struct):
    """The limits of a queue, all of them, after a change."""

    name: str
    limits: dict[str, Any]


@patch("/queues/{queue:str}", guards=[refuse_others])
async def configure(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """Change limits of a queue; it need not have been used before."""
    read(request, NoParameters)
    given = await read_command(request, Configure, optional=False)
    bounds = bounds_of(given)
    if not bounds:
        message = "expected at least one limit to change"
        raise Problem(INVALID, f"{message}.", [Fault("$", message)])
    try:
        check_queue(queue)
    except InvalidName as error:
        message = f"expected {error.expected}, got {queue[:80]!r}"
        raise Problem(INVALID, f"{message}.", [Fault("$.queue", message, "path")]) from None
    directory = resources_of(request).directory
    await directory.register(queue)
    found = directory.queue(queue)
    said = changed(given)
    event = QueueConfigured(said.pop("actor", ""), said.pop("reason", ""), said)
    await found.configure(event, bounds)
    return answer(Configured(queue, limits_of(await found.limits())))
