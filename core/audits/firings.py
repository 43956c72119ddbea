"""Audits the events of schedules: each occurrence fired at most once, by one job."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import events as ev
from .report import Report

OWN = ("due", "catch_up")
"""Causes of firings that move a schedule on; the others are somebody's wish."""


@dataclass
class Planned:
    """A schedule as its events tell it; `at`: position of the last of them."""

    at: str
    alive: bool = False
    paused: bool = False
    handled: set[int] = field(default_factory=set)


class Fired:
    """What the events of all partitions tell of schedules."""

    def __init__(self) -> None:
        self._schedules: dict[tuple[str, str], Planned] = {}
        self._promised: dict[str, str] = {}
        self._submitted: dict[str, str] = {}

    def of(self, partition: str) -> dict[str, Planned]:
        """The schedules of a partition, by name."""
        return {name: one for (place, name), one in self._schedules.items() if place == partition}

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event."""
        if type(event) is ev.JobSubmitted and event.schedule is not None:
            self._submitted[record.job] = record.position
        if not record.type.startswith("schedule."):
            return
        name = str(getattr(event, "schedule"))  # noqa: B009 (every event of that name has it)
        one = self._schedules.setdefault((record.partition, name), Planned(record.position))
        one.at = record.position
        if (type(event) is ev.ScheduleCreated) == one.alive:
            report.add("schedule-order", one.at, f"{record.type} while alive is {one.alive}")
        match event:
            case ev.ScheduleDeleted():
                one.alive = one.paused = False
            case ev.ScheduleResumed():
                one.paused = False
            case ev.SchedulePaused():
                one.paused = True
            case ev.ScheduleCreated():
                one.alive = True
            case ev.ScheduleFired():
                self._promised[event.job_id] = one.at
                self._handle(one, event.occurrence if event.cause in OWN else None, report)
            case ev.ScheduleSkipped():
                self._handle(one, event.occurrence, report)
            case _:
                pass

    def _handle(self, one: Planned, occurrence: int | None, report: Report) -> None:
        if occurrence is None:
            return
        if one.paused:
            report.add("fired-paused", one.at, "expected nothing of a schedule that is paused")
        if occurrence in one.handled:
            report.add("occurrence-twice", one.at, f"expected {occurrence} once")
        one.handled.add(occurrence)

    def close(self, report: Report) -> None:
        """Every firing has its job, every such job its firing."""
        for job in self._promised.keys() - self._submitted.keys():
            report.add("fired-orphan", self._promised[job], f"expected the submission of {job}")
        for job in self._submitted.keys() - self._promised.keys():
            report.add("fired-missing", self._submitted[job], f"expected the firing of {job}")
