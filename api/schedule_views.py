"""The JSON of schedules: what is shown, and what a client may say of one that exists."""

from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..core.retry import Backoff
from ..core.schedule_store import State
from ..core.schedules import Instant, Overlap, Schedule
from .commands import By
from .fields import Subject
from .views import Time, time_of, time_or_null

CommandId = Annotated[
    str,
    Meta(
        pattern="^[a-zA-Z0-9._-]{1,64}$",
        description="Sent again with the same id within a day, it is done once.",
    ),
]


class PausedView(Struct):
    """Who paused a schedule, why, and when."""

    actor: str
    reason: str
    at: Time | None


class FiringView(Struct):
    """The last job of a schedule; `occurrence` is the instant it stands for."""

    job_id: str
    occurrence: Time
    fired_at: Time


class ScheduleView(Struct):
    """A schedule and where it stands. Durations are seconds.

    state    active, paused, ended (there will be no occurrence), or unreadable (a later release
             made it: `error` says more, and what it says is not shown)
    next_at  its next occurrence; `next` are those to come, as many as were asked for
    waiting  an occurrence that waits for the job of an earlier one to end
    declared it was declared in code
    erased   its payload cannot be read any more: the key of its subject was erased
    """

    name: str
    queue: str
    state: Literal["active", "paused", "ended", "unreadable"]
    version: int
    type: str | None = None
    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    start_at: Time | None = None
    end_at: Time | None = None
    jitter: float = 0.0
    overlap: Overlap = "allow"
    catchup: float = 0.0
    catchup_limit: int = 0
    payload: msgspec.Raw | None = None
    priority: int = 5
    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout: float | None = None
    expires_in: float | None = None
    concurrency_key: str | None = None
    rate_key: str | None = None
    tags: list[str] = []
    metadata: dict[str, str] = {}
    next_at: Time | None = None
    next: list[Time] = []
    paused: PausedView | None = None
    waiting: Time | None = None
    last: FiringView | None = None
    declared: bool = False
    erased: bool = False
    error: str | None = None


class ScheduleList(Struct):
    """A part of the list of schedules, by name; `next_cursor` leads on, null at the end."""

    items: list[ScheduleView]
    next_cursor: str | None


class FireNow(By, forbid_unknown_fields=True):
    """A firing somebody wants now, whatever the schedule's times and overlap policy say."""

    id: CommandId | None = None


class Backfill(By, forbid_unknown_fields=True, kw_only=True):
    """Jobs for the occurrences from `from` up to, but without, `to`; both have passed."""

    begin: Instant = msgspec.field(name="from")
    end: Instant = msgspec.field(name="to")
    id: CommandId | None = None


class Submitted(Struct):
    """The jobs that were submitted; `id` is the command's, to send it again with."""

    schedule: str
    id: str
    jobs: list[str]


_SAID = [field for field in msgspec.structs.fields(Schedule) if field.name != "codec"]


def _field_of(field: Any) -> Any:
    """As defstruct takes it."""
    made: Any = msgspec.field
    default = made(default=field.default, default_factory=field.default_factory)
    return (field.name, field.type) if field.required else (field.name, field.type, default)


GivenSchedule: type[Struct] = msgspec.defstruct(
    "Schedule",
    [*map(_field_of, _SAID), ("subject", Union[Subject, None], None)],  # noqa: UP007 (made at run time)
    kw_only=True,
    forbid_unknown_fields=True,
    module=__name__,
)
GivenSchedule.__doc__ = f"""{Schedule.__doc__}
`subject`: whom its jobs are about. The payload is encrypted for them, as that of such a job is.
"""


def _change_of(field: Any) -> Any:
    """The same for what may be left out, or null; a payload is anything, null as well."""
    if field.type is msgspec.Raw:
        return field.name, Union[msgspec.Raw, UnsetType], UNSET  # noqa: UP007
    return field.name, Union[field.type, None, UnsetType], UNSET  # noqa: UP007


_FIELDS: list[Any] = [_change_of(field) for field in _SAID if field.name != "name"]

ScheduleChange: type[Struct] = msgspec.defstruct(
    "ScheduleChange",
    [
        *_FIELDS,
        ("subject", Union[Subject, None, UnsetType], UNSET),  # noqa: UP007
        ("version", Union[Annotated[int, Meta(ge=1)], UnsetType], UNSET),  # noqa: UP007
    ],
    forbid_unknown_fields=True,
    module=__name__,
)
ScheduleChange.__doc__ = """What is to be changed; null takes a field away.

`cron` takes the place of `every`, and the other way round. `version`: refuse if it is another. A
payload that was encrypted stays so for the same subject, unless `subject` says otherwise.
"""


def view_of(state: State, following: list[int] | None = None) -> ScheduleView:
    """A schedule as it is shown."""
    try:
        schedule = state.schedule()
    except msgspec.ValidationError as error:
        return ScheduleView(
            state.name, state.partition, "unreadable", state.version, paused=_paused(state),
            last=_last(state), declared=bool(state.digest), error=str(error),
        )  # fmt: skip
    told = msgspec.structs.asdict(schedule)
    for field in ("name", "queue", "start_at", "end_at", "codec"):
        del told[field]
    return ScheduleView(
        name=state.name,
        queue=state.partition,
        state=_name_of(state),
        version=state.version,
        start_at=_instant(schedule.start_at),
        end_at=_instant(schedule.end_at),
        next_at=time_or_null(state.next),
        next=[time_of(at) for at in following or ()],
        paused=_paused(state),
        waiting=time_or_null(state.buffered),
        last=_last(state),
        declared=bool(state.digest),
        **told,
    )


def _name_of(state: State) -> Literal["active", "paused", "ended"]:
    if state.paused is not None:
        return "paused"
    return "ended" if state.next is None else "active"


def _paused(state: State) -> PausedView | None:
    if state.paused is None:
        return None
    return PausedView(state.paused.actor, state.paused.reason, time_or_null(state.paused_at))


def _last(state: State) -> FiringView | None:
    if state.last_job is None or state.last_occurrence is None or state.last_at is None:
        return None
    return FiringView(state.last_job, time_of(state.last_occurrence), time_of(state.last_at))


def _instant(given: Any) -> str | None:
    return None if given is None else time_of(round(given.timestamp() * 1000))
