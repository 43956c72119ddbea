"""The events of a schedule."""

from typing import Any

from .base import Command, Event


class ScheduleCreated(Command, frozen=True):
    """A schedule was made. `spec`: as the API takes it; `digest`: of the declaration it is from."""

    name = "schedule.created"
    schedule: str = ""
    spec: dict[str, Any] = {}
    digest: str = ""


class ScheduleUpdated(ScheduleCreated, frozen=True):
    """A schedule was changed to what `spec` says."""

    name = "schedule.updated"


class SchedulePaused(Command, frozen=True):
    """A schedule fires no more until it is resumed."""

    name = "schedule.paused"
    schedule: str = ""


class ScheduleResumed(SchedulePaused, frozen=True):
    """A paused schedule fires again, from its next occurrence on."""

    name = "schedule.resumed"


class ScheduleDeleted(SchedulePaused, frozen=True):
    """A schedule is gone; the jobs it submitted stay."""

    name = "schedule.deleted"


class ScheduleFired(Event, frozen=True):
    """An occurrence (ms since 1970) became a job. `cause`: due, catch_up, manual, backfill.

    Of the last two, `actor` and `reason` tell who wanted it and why.
    """

    name = "schedule.fired"
    schedule: str
    occurrence: int
    job_id: str
    cause: str = "due"
    actor: str = ""
    reason: str = ""


class ScheduleSkipped(Event, frozen=True):
    """`count` occurrences from `occurrence` to `last` became no job.

    `reason`: overlap, missed, buffered.
    """

    name = "schedule.skipped"
    schedule: str
    occurrence: int
    reason: str
    count: int = 1
    last: int | None = None
