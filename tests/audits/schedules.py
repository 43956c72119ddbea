"""Audits what Redis holds of schedules against what their events tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millstream.core.audits.firings import Planned
from millstream.core.audits.report import Report
from millstream.core.keys import Keys


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
