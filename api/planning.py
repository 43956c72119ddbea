"""What a client says of a schedule, held against what there is. Faults carry their paths."""

from typing import Any, NamedTuple

import msgspec

from ..core.codec import Data
from ..core.errors import InvalidSchedule
from ..core.nesting import deeper_than
from ..core.schedule_store import State
from ..core.schedules import Schedule, check_schedule_spec, read_schedule
from .misfits import invalid
from .problems import CONFLICT, NOT_FOUND, TOO_DEEP, UNKNOWN_TYPE, Fault, Problem, unacceptable
from .resources import Resources
from .schedule_subjects import check_change, encrypted
from .schedule_views import GivenSchedule, ScheduleChange
from .submission import Submission, Unacceptable

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_given = msgspec.json.Decoder(GivenSchedule).decode
_change = msgspec.json.Decoder(ScheduleChange).decode
_NULL = b"null"


def not_found(name: str) -> Problem:
    """The problem of a schedule that is not there."""
    return Problem(NOT_FOUND, f"There is no schedule {name[:200]!r}.")


async def find(resources: Resources, name: str) -> State:
    """The schedule of that name. Raises Problem."""
    found = await resources.schedules.find(name)
    if found is None:
        raise not_found(name)
    return found


def understood(state: State) -> Schedule:
    """What a schedule says. Raises Problem if a later release made it."""
    try:
        return state.schedule()
    except msgspec.ValidationError as error:
        detail = f"Schedule {state.name} cannot be read by this release: {error}."
        raise Problem(CONFLICT, detail) from None


class Given(NamedTuple):
    """What a body makes of a schedule.

    subject  whom its payload is to be encrypted for, if that is said
    old      encrypted payload in whose place a new one comes
    sealed   the payload stays the encrypted one that is there
    checked  the payload is to be held against what workers take: it, or the type, is new
    """

    schedule: Schedule
    subject: str | None
    old: Data | None = None
    sealed: bool = False
    checked: bool = True


def decode(body: bytes) -> Given:
    """A new schedule from a body. Raises Problem."""
    try:
        given: Any = _given(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, GivenSchedule) from None
    members = _members(body)
    members.pop("subject", None)
    return Given(_read(members), given.subject)


def _read(members: dict[str, msgspec.Raw]) -> Schedule:
    body = msgspec.json.encode(members)
    try:
        return read_schedule(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, Schedule) from None


def changed(state: State, body: bytes) -> Given:
    """The schedule with what a body changes. Raises Problem."""
    try:
        given: Any = _change(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, ScheduleChange) from None
    if given.version is not msgspec.UNSET and given.version != state.version:
        detail = f"Schedule {state.name} has version {state.version}, not {given.version}."
        raise Problem(CONFLICT, detail, version=state.version)
    before = understood(state)
    old, new = _members(msgspec.json.encode(before)), _members(body)
    new.pop("version", None)
    said = new.pop("subject", None)
    check_change(payload="payload" in new, subject=said is not None)
    if "payload" in new:
        old.pop("codec", None)
    for one, other in (("cron", "every"), ("every", "cron")):
        if one in new and bytes(new[one]) != _NULL and other not in new:
            old.pop(other, None)
    merged = {name: raw for name, raw in (old | new).items() if _counts(name, raw)}
    schedule = _read(merged)
    if schedule.queue != state.partition:
        message = f"expected {state.partition!r}, where it lives: to move it, make it anew"
        raise unacceptable("$.queue", message)
    subject = None if said is None else given.subject
    return Given(
        schedule,
        subject,
        old=before.data if said is None else None,
        sealed="payload" not in new,
        checked="payload" in new or "type" in new,
    )


async def accepted(resources: Resources, said: Given) -> Schedule:
    """The schedule with its queue and attempts said, if it can be, and its payload encrypted, if it
    is to be. Raises Problem, Unavailable."""
    given = said.schedule
    try:
        check_schedule_spec(given)
    except InvalidSchedule as error:
        raise unacceptable(f"$.{error.field}", error.message) from None
    bound = resources.settings.max_depth
    if deeper_than(bytes(given.payload), bound):
        fault = Fault("$.payload", f"expected at most {bound} levels of nesting")
        raise Problem(TOO_DEEP, f"{fault.message} (at $.payload).", [fault])
    job = Submission(type=given.type, payload=given.payload, queue=given.queue)
    try:
        defaults = resources.catalog.remembered(job) or await resources.catalog.resolve(job)
    except Unacceptable as error:
        fault = error.fault()
        raise Problem(UNKNOWN_TYPE, f"{fault.message} (at {fault.path}).", [fault]) from None
    if said.checked and given.codec == "json":
        await resources.payloads.check([job], ["$"])
    attempts = given.max_attempts or defaults.max_attempts
    given = msgspec.structs.replace(given, queue=defaults.queue, max_attempts=attempts)
    return given if said.sealed else await encrypted(resources, given, said.subject, said.old)


def _counts(name: str, raw: msgspec.Raw) -> bool:
    return name == "payload" or bytes(raw) != _NULL
