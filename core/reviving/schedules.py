"""Where schedules stand, as their events tell it."""

import msgspec

from .. import events as ev
from ..firing import start
from ..schedules import Schedule, due_at, next_occurrence, read_schedule, same_times

OWN = ("due", "catch_up")
"""Causes of firings that move a schedule on."""

MOST_RUNNING = 100


class _Spec(msgspec.Struct):
    spec: msgspec.Raw


_spec = msgspec.json.Decoder(_Spec).decode


class Standing(msgspec.Struct):
    """One schedule; `raw` None: it was deleted, and only its digest is kept. Times: ms."""

    raw: bytes | None = None
    version: int = 0
    digest: str = ""
    next: int | None = None
    paused: bytes = b""
    paused_at: int = 0
    handled: int | None = None
    fired: int | None = None
    buffering: bool = False
    jobs: list[str] = []
    last: tuple[str, int, int] | None = None

    def schedule(self) -> Schedule | None:
        """What it says; None if this release cannot read it, or it is gone."""
        if self.raw is None:
            return None
        try:
            return read_schedule(self.raw)
        except msgspec.ValidationError:
            return None

    @property
    def buffered(self) -> int | None:
        """The occurrence that waits for the job of an earlier one: the first after that."""
        schedule = self.schedule()
        if not self.buffering or schedule is None or self.fired is None:
            return None
        return next_occurrence(schedule, self.fired)


class Standings:
    """All schedules of a partition; takes its events in order."""

    def __init__(self) -> None:
        self.found: dict[str, Standing] = {}

    def take(self, record: ev.Record, event: ev.Event) -> None:
        """One more event."""
        name = getattr(event, "schedule", None)
        if record.job or not isinstance(name, str):
            return
        one = self.found.setdefault(name, Standing())
        match event:
            case ev.ScheduleCreated():
                self._put(one, record, event)
            case ev.ScheduleDeleted():
                self.found[name] = Standing(digest=one.digest)
            case ev.ScheduleResumed():
                one.version += 1
                one.paused = b""
                one.next = _start(one, record.time)
            case ev.SchedulePaused():
                one.version += 1
                one.paused, one.paused_at = record.body, record.time
            case ev.ScheduleFired():
                self._fired(one, record, event)
            case ev.ScheduleSkipped():
                self._handled(one, event.last or event.occurrence)
                one.buffering = one.buffering or event.reason == "buffered"
                if event.reason == "missed":
                    one.fired = event.last or event.occurrence
            case _:
                pass

    def _put(self, one: Standing, record: ev.Record, event: ev.ScheduleCreated) -> None:
        before = one.schedule()
        one.raw = bytes(_spec(record.body).spec)
        one.version += 1
        one.digest = event.digest or one.digest
        after = one.schedule()
        if before is None or after is None or not same_times(before, after):
            one.next = _start(one, record.time)
            one.handled = one.fired = None
            one.buffering = False

    def _fired(self, one: Standing, record: ev.Record, event: ev.ScheduleFired) -> None:
        if event.cause != "backfill":
            one.jobs = [*one.jobs, event.job_id][-MOST_RUNNING:]
            one.last = event.job_id, event.occurrence, record.time
        if event.cause in OWN:
            one.fired = event.occurrence
            one.buffering = False
            self._handled(one, event.occurrence)

    def _handled(self, one: Standing, occurrence: int) -> None:
        schedule = one.schedule()
        one.handled = max(one.handled or 0, occurrence)
        one.next = None if schedule is None else next_occurrence(schedule, one.handled)


def fields(one: Standing, live: set[str]) -> dict[str, str | bytes | int]:
    """The hash of a schedule, as lua/includes/planned.lua describes it; `live`: jobs that live."""
    if one.raw is None:
        return {"digest": one.digest} if one.digest else {}
    schedule = one.schedule()
    tracked = schedule is not None and schedule.overlap != "allow"
    running = [job for job in one.jobs if job in live] if tracked else []
    due = None if one.next is None or schedule is None else due_at(schedule, one.next)
    found: dict[str, str | bytes | int] = {
        "spec": one.raw,
        "version": one.version,
        "next": _text(one.next),
        "due": _text(due),
        "digest": one.digest,
        "paused": one.paused,
        "buffered": _text(one.buffered),
    }
    if running:
        found["running"] = " ".join(running)
    if one.paused_at:
        found["paused_at"] = one.paused_at
    if one.last is not None:
        found["last_job"], found["last_occurrence"], found["last_at"] = one.last
    return found


def _start(one: Standing, now: int) -> int | None:
    schedule = one.schedule()
    return None if schedule is None else start(schedule, now)[0]


def _text(time: int | None) -> str | int:
    return "" if time is None else time
