"""What the routes of schedules take and answer, see `operations`."""

from . import parameters
from .commands import By
from .operation import BODY_PROBLEMS, EventList, Operation
from .schedule_views import (
    Backfill,
    FireNow,
    GivenSchedule,
    ScheduleChange,
    ScheduleList,
    ScheduleView,
    Submitted,
)
from .why import ScheduleWhy

_PLAN = {"name": "nightly", "type": "report", "cron": "0 3 * * *", "timezone": "Europe/Vienna"}
_RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}

SCHEDULES = (
    Operation(
        "post", "/schedules", "createSchedule", "schedules", "Make a schedule", ScheduleView, 201,
        query=parameters.ByParameters, body=GivenSchedule,
        problems=(*BODY_PROBLEMS, 403, 409, 422, 503), example=_PLAN,
    ),
    Operation(
        "get", "/schedules", "listSchedules", "schedules", "List schedules by name", ScheduleList,
        query=parameters.SchedulesParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/schedules/{name}", "getSchedule", "schedules",
        "One schedule, with its next occurrences", ScheduleView,
        query=parameters.NextParameters, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/schedules/{name}/events", "listScheduleEvents", "schedules",
        "What became of a schedule, newest first", EventList,
        query=parameters.EventParameters, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/schedules/{name}/why", "explainSchedule", "schedules",
        "Why its latest occurrences became jobs, or were skipped", ScheduleWhy,
        problems=(400, 404, 503),
    ),
    Operation(
        "patch", "/schedules/{name}", "changeSchedule", "schedules",
        "Change some of what a schedule says", ScheduleView,
        query=parameters.ByParameters, body=ScheduleChange,
        problems=(*BODY_PROBLEMS, 403, 404, 409, 422, 503), example={"cron": "30 3 * * *"},
    ),
    Operation(
        "delete", "/schedules/{name}", "deleteSchedule", "schedules",
        "Delete a schedule; its jobs stay", ScheduleView,
        query=parameters.ByParameters, problems=(400, 403, 404, 503),
    ),
    Operation(
        "post", "/schedules/{name}/pause", "pauseSchedule", "schedules",
        "Let a schedule fire no more until it is resumed", ScheduleView,
        body=By, body_required=False, problems=(*BODY_PROBLEMS, 403, 404, 503),
    ),
    Operation(
        "post", "/schedules/{name}/resume", "resumeSchedule", "schedules",
        "Let a paused schedule go on from its next occurrence", ScheduleView,
        body=By, body_required=False, problems=(*BODY_PROBLEMS, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/schedules/{name}/fire", "fireSchedule", "schedules",
        "Submit a schedule's job now", Submitted,
        body=FireNow, body_required=False, problems=(*BODY_PROBLEMS, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/schedules/{name}/backfill", "backfillSchedule", "schedules",
        "Submit the jobs of up to 10,000 occurrences that have passed", Submitted,
        body=Backfill, problems=(*BODY_PROBLEMS, 403, 404, 409, 422, 503), example=_RANGE,
    ),
)  # fmt: skip
