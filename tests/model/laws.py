"""Laws of limits that hold over any log, however the verbs came to it.

Only limits count here that were set before the first job came, and not changed since.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from millstream.core.memory import MemoryPartition

from .pair import says

OVER = ("succeeded", "attempt_failed", "failed", "snoozed", "released", "lease_expired", "crashed")
STOPS = {f"job.{name}" for name in OVER} | {"job.cancelled", "job.queued"}
WAITS = {"run_at", "delay_ms", "depends_on", "open"}
MOVES = {"job.rescheduled", "job.replaced"}


class Fact(NamedTuple):
    """An event, and what it says."""

    type: str
    job: str
    body: dict[str, Any]


def constant_limits(log: list[Fact]) -> dict[str, int]:
    """Concurrency limits → bound: set once, and before there were jobs."""
    settings = [fact for fact in log if fact.type == "queue.configured"]
    times = Counter(name for fact in settings for name in fact.body.get("settings", {}))
    early: dict[str, int] = {}
    for fact in log:
        if fact.type == "job.submitted":
            break
        for name, bound in fact.body.get("settings", {}).items():
            if name.startswith("c") and bound and times[name] == 1:
                early[name] = int(bound)
    return early


def broken_laws(rooms: MemoryPartition) -> list[str]:
    """What was broken, in words."""
    log = [Fact(one.type, one.job, says(one.body)) for one in rooms.log]
    limits = constant_limits(log)
    if not limits:
        return []
    return [*_too_many(log, limits, seen=not rooms.lost_ever), *_out_of_turn(log, limits)]


def _too_many(log: list[Fact], limits: dict[str, int], *, seen: bool) -> list[str]:
    """No job starts while as many run as may."""
    specs: dict[str, dict[str, Any]] = {}
    running: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    for fact in log:
        if fact.type in ("job.submitted", "job.replaced"):
            specs[fact.job] = fact.body
        elif fact.type in STOPS:
            running.pop(fact.job, None)
        elif fact.type == "job.started":
            mine = running[fact.job] = specs[fact.job]
            for limit, members in _shares(mine, list(running.values()), seen=seen).items():
                if limit in limits and members > limits[limit]:
                    broken.append(f"{members} run at {limit}: {limits[limit]} with {fact}")
    return broken


def _shares(mine: dict[str, Any], others: list[dict[str, Any]], *, seen: bool) -> dict[str, int]:
    """Limits that a job counts against → how many that run count with it."""
    kin = [one for one in others if one["type"] == mine["type"]]
    shares = {f"c:{mine['type']}": len(kin)}
    if seen:
        shares["c"] = len(others)  # who runs in a lost lane is not seen
    key = mine.get("concurrency_key")
    if key is not None:
        shares["ck"] = sum(one.get("concurrency_key") == key for one in others)
        shares[f"ck:{mine['type']}"] = sum(one.get("concurrency_key") == key for one in kin)
    return shares


def _out_of_turn(log: list[Fact], limits: dict[str, int]) -> list[str]:
    """One at a time of a key: jobs start in the order they were submitted in.

    Those of one type, key and priority that could run at once, and were not moved.
    """
    moved = {fact.job for fact in log if fact.type in MOVES}
    turns: dict[tuple[str, str, int], list[str]] = {}
    for fact in log:
        spec, kind = fact.body, fact.body.get("type", "")
        if fact.type == "job.submitted" and 1 in (limits.get("ck"), limits.get(f"ck:{kind}")):
            key, at_once = spec.get("concurrency_key"), not WAITS & spec.keys()
            if key is not None and at_once and fact.job not in moved:
                turns.setdefault((kind, key, spec.get("priority", 5)), []).append(fact.job)
    first: dict[str, int] = {}
    for place, fact in enumerate(log):
        if fact.type == "job.started":
            first.setdefault(fact.job, place)
    started = [[job for job in jobs if job in first] for jobs in turns.values()]
    return [
        f"{later} started before {earlier}"
        for jobs in started
        for earlier, later in pairwise(jobs)
        if first[later] < first[earlier]
    ]
