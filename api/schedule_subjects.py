"""Schedules whose jobs are about a person: their payload is encrypted as that of such a job is.

What one says is read and told here; whose it is stands in no event, only the id of the key.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from ..core.codec import Data
from ..core.encryption import CODEC
from ..core.schedule_store import State
from ..core.schedules import Schedule
from .encryption import SHUT
from .problems import CONFLICT, Problem, unacceptable
from .resources import Resources
from .schedule_views import ScheduleView, view_of


async def encrypted(
    resources: Resources, given: Schedule, subject: str | None, old: Data | None = None
) -> Schedule:
    """The schedule, with its payload encrypted if it is about somebody.

    old  encrypted payload in whose place it comes, and whose key it gets without a `subject`
    Raises Problem, Unavailable.
    """
    if subject is not None:
        data = await resources.encryption.encrypt_for(subject, bytes(given.payload))
    elif old is not None and old.codec == CODEC:
        data = await resources.encryption.encrypt_like(old, bytes(given.payload))
        if data is None:
            message = "expected one, or null: that of the payload before was erased"
            raise unacceptable("$.subject", message)
    else:
        return replace(given, codec="json")
    return replace(given, payload=data.data, codec=data.codec)


def check_change(payload: bool, subject: bool) -> None:
    """Refuse a `subject` said without the payload it is of. Raises Problem."""
    if subject and not payload:
        message = "expected the payload beside subject: the log keeps the one before as it is"
        raise unacceptable("$.payload", message)


async def refuse_erased(resources: Resources, name: str, schedule: Schedule) -> None:
    """Raises Problem if the payload of a schedule can be read by nobody any more."""
    if schedule.codec == CODEC and await resources.encryption.is_erased(schedule.data):
        detail = f"The payload of schedule {name} was erased: give it another, or delete it."
        raise Problem(CONFLICT, detail)


async def view(
    resources: Resources, state: State, following: list[int] | None = None
) -> ScheduleView:
    """A schedule as those may see it who may read."""
    return (await _opened(resources, [view_of(state, following)], [state]))[0]


async def views(resources: Resources, states: Sequence[State]) -> list[ScheduleView]:
    """The same for many."""
    return await _opened(resources, [view_of(state) for state in states], states)


async def _opened(
    resources: Resources, shown: list[ScheduleView], states: Sequence[State]
) -> list[ScheduleView]:
    shut = {
        index: state.schedule().data
        for index, (one, state) in enumerate(zip(shown, states, strict=True))
        if one.state != "unreadable" and state.schedule().codec == CODEC
    }
    opened = await resources.encryption.open_all(list(shut.values()))
    for index, data in zip(shut, opened, strict=True):
        erased = data is SHUT
        shown[index] = replace(shown[index], payload=data.data, erased=erased)
    return shown
