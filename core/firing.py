"""What a schedule whose time has come is to do: fire, catch up, or own that it missed some. Pure.

An occurrence is on time up to `ON_TIME_MS` after it was due: that covers a sweep and a worker that
was killed, and is no catching up.
"""

from typing import NamedTuple

from .schedules import Schedule, between, count, due_at, latest, next_occurrence, occurrences

ON_TIME_MS = 5_000
MAX_AT_ONCE = 100
"""Most occurrences of a schedule that one firing handles; the rest follows at once."""

MAX_COUNTED = 1_000
"""Missed occurrences of a cron expression are counted no further, for each is to be found: that
many means that many or more. Those of an interval are counted by division."""


class Missed(NamedTuple):
    """Occurrences too old to be fired: from the first to the last of them."""

    first: int
    last: int
    counted: int


class Plan(NamedTuple):
    """`fire`: occurrences and their causes, in order; `next`: the first that is not handled."""

    missed: Missed | None
    fire: list[tuple[int, str]]
    next: int | None


def plan(schedule: Schedule, position: int, now: int) -> Plan:
    """What is to be done at `now` for a schedule that stands at the occurrence `position`."""
    late = now - ON_TIME_MS - round(schedule.jitter * 1000)
    begin = position
    missed: Missed | None = None
    if position < late:
        begin = _first_to_fire(schedule, position, late)
        missed = _missed(schedule, position, begin)
    fire: list[tuple[int, str]] = []
    for at in occurrences(schedule, begin - 1):
        if len(fire) == MAX_AT_ONCE or due_at(schedule, at) > now:
            return Plan(missed, fire, at)
        fire.append((at, "catch_up" if at < late else "due"))
    return Plan(missed, fire, None)


def _first_to_fire(schedule: Schedule, position: int, late: int) -> int:
    """Where firing goes on: at the earliest late occurrence that is caught up with, if any."""
    window = max(0, round(schedule.catchup * 1000) - ON_TIME_MS)
    caught = latest(schedule, max(position, late - window), late, schedule.catchup_limit)
    return caught[0] if caught else late


def _missed(schedule: Schedule, position: int, begin: int) -> Missed | None:
    counted = count(schedule, position, begin, MAX_COUNTED)
    if not counted:
        return None
    return Missed(position, latest(schedule, position, begin, 1)[0], counted)


def backfill(schedule: Schedule, begin: int, end: int, most: int) -> list[int]:
    """The occurrences in [begin, end), but no more than `most` + 1 of them."""
    found: list[int] = []
    for at in between(schedule, begin, end):
        found.append(at)
        if len(found) > most:
            break
    return found


def start(schedule: Schedule, now: int) -> tuple[int | None, int | None]:
    """Where a schedule begins, or goes on: its next occurrence, and when that is due."""
    first = next_occurrence(schedule, now)
    return first, None if first is None else due_at(schedule, first)
