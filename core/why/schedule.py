"""Why occurrences of a schedule became jobs, or did not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import events as ev
from ..errors import UnknownEvent, UnreadableEvent
from ..events import Record
from ..upcast import decode
from .sentences import Sentence, at, by, count, short

if TYPE_CHECKING:
    from .story import Story

_SKIPPED = {
    "overlap": "a job of an earlier occurrence had not ended",
    "missed": "nothing fired it in time: no worker served its queue, or it was paused or draining, "
    "for longer than it catches up with",
    "buffered": "an earlier occurrence was waiting already",
}

_FIRED = {
    "due": "when it was due",
    "catch_up": "late, to catch up",
    "manual": "by hand",
    "backfill": "by a backfill",
}


def explain_schedule(events: Iterable[Record]) -> list[Sentence]:
    """What became of a schedule's occurrences, by its events in order. Never raises."""
    found: list[Sentence] = []
    for record in events:
        event = _event_of(record)
        if event is not None and (told := _told(event, record)) is not None:
            found.append(Sentence(told[0], told[1], [record.position]))
    return found


def tell_firing(story: Story, job: str) -> None:
    """How a job came from its schedule, and which occurrences before it did not."""
    skipped: list[Record] = []
    for record in story.around:
        event = _event_of(record)
        if isinstance(event, ev.ScheduleSkipped):
            skipped.append(record)
        elif isinstance(event, ev.ScheduleFired) and event.job_id != job:
            skipped.clear()
        elif isinstance(event, ev.ScheduleFired):
            for one in explain_schedule(skipped):
                story.say(one.code, one.text, skipped.pop(0))
            story.say("schedule.fired", _fired(event), record)
            return


def _event_of(record: Record) -> ev.Event | None:
    if not record.type.startswith("schedule."):
        return None
    try:
        return decode(record)
    except (UnknownEvent, UnreadableEvent):
        return None


def _told(event: ev.Event, record: Record) -> tuple[str, str] | None:
    match event:
        case ev.ScheduleFired():
            return "schedule.fired", _fired(event)
        case ev.ScheduleSkipped():
            return "schedule.skipped", _skipped(event)
        case ev.ScheduleResumed():  # before its base
            return "schedule.resumed", f"It was resumed at {at(record.time)}{by(event)}."
        case ev.ScheduleDeleted():
            return "schedule.deleted", f"It was deleted at {at(record.time)}{by(event)}."
        case ev.SchedulePaused():
            return "schedule.paused", f"It was paused at {at(record.time)}{by(event)}."
        case ev.ScheduleUpdated():
            return "schedule.updated", f"It was changed at {at(record.time)}{by(event)}."
        case ev.ScheduleCreated():
            return "schedule.created", f"It was made at {at(record.time)}{by(event)}."
        case _:
            return None


def _fired(event: ev.ScheduleFired) -> str:
    how = _FIRED.get(event.cause, short(event.cause))
    who = by(ev.Command(event.actor, event.reason))
    return f"Its occurrence {at(event.occurrence)} became job {short(event.job_id)}, {how}{who}."


def _skipped(event: ev.ScheduleSkipped) -> str:
    words = _SKIPPED.get(event.reason, short(event.reason))
    if event.count == 1:
        return f"Its occurrence {at(event.occurrence)} was skipped: {words}."
    last = event.occurrence if event.last is None else event.last
    which = f"from {at(event.occurrence)} to {at(last)}"
    return f"{count(event.count, 'occurrence')} {which} were skipped: {words}."
