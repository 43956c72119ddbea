"""What there is to say of a route, and the shapes of answers that no route makes of one struct."""

from typing import Any, NamedTuple

from msgspec import Struct

from . import parameters
from .dead_letters import DeadLettersView
from .holds import HoldView
from .views import AttemptView, EventView, JobView

BODY_PROBLEMS = (400, 408, 413, 415)
"""Statuses of a request whose body cannot be read."""


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
    media: str = "application/json"  #: of the answer


class JobList(Struct):
    """A part of the list of jobs; `next_cursor` leads to the next part, null at the end."""

    items: list[JobView]
    next_cursor: str | None


class EventList(Struct):
    """A part of a history; `next_cursor` leads to the next part, null at the end."""

    items: list[EventView]
    next_cursor: str | None


class AttemptList(Struct):
    """A part of the attempts at a job; `next_cursor` leads to the next part, null at the end."""

    items: list[AttemptView]
    next_cursor: str | None


class DeadLetterList(Struct):
    """A part of the groups; `next_cursor` leads to the next part, null at the end."""

    items: list[DeadLettersView]
    next_cursor: str | None


class HoldList(Struct):
    """A part of the holds; `next_cursor` leads to the next part, null at the end."""

    items: list[HoldView]
    next_cursor: str | None


class Status(Struct):
    """Whether it is so."""

    status: str
