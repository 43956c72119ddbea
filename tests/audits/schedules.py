"""Audits schedules: each occurrence fired at most once, by one job, and hot state as events say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millstream.core import events as ev
from millstream.core.keys import Keys

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


@dataclass
class HotSchedules:
    """What Redis holds of the schedules of a partition."""

    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)


async def read_schedules(redis: Any, keys: Keys, partition: str, names: list[str]) -> HotSchedules:
    """Read them; the partition must be at rest meanwhile."""
    hot = HotSchedules()
    for name in names:
        found = await redis.hgetall(keys.schedule(partition, name))
        hot.fields[name] = {key.decode(): value.decode() for key, value in found.items()}
    due = await redis.zrange(keys.schedule_due(partition), 0, -1, withscores=True)
    hot.due = {name.decode(): score for name, score in due}
    return hot


def audit_schedules(report: Report, hot: HotSchedules, told: dict[str, Planned]) -> None:
    """Compare them with what the events tell."""
    alive = {name for name, one in told.items() if one.alive}
    held = {name for name, fields in hot.fields.items() if "spec" in fields}
    for name in alive - held:
        report.add("schedule-missing", name, "expected it, of the events it is there")
    for name in held - alive:
        report.add("schedule-orphan", name, "expected none, of the events there is none")
    for name in set(hot.fields) - held:
        if set(hot.fields[name]) != {"digest"}:
            report.add("schedule-remains", name, f"expected a digest, got {hot.fields[name]}")
    for name in alive & held:
        fields = hot.fields[name]
        if bool(fields["paused"]) != told[name].paused:
            report.add("schedule-differs", name, f"paused: got {fields['paused']!r}")
        waits = not fields["paused"] and bool(fields["next"] or fields["buffered"])
        if waits != (name in hot.due):
            report.add("schedule-due", name, f"expected due {waits}, got {hot.due.get(name)}")
        elif waits and not fields["buffered"] and hot.due[name] != int(fields["due"]):
            report.add("schedule-due", name, f"expected {fields['due']}, got {hot.due[name]}")
    for name in set(hot.due) - held:
        report.add("schedule-due", name, "expected nothing due of a schedule that is not there")
