"""Audits the gates of a partition's limits: who has passed them, and who waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millstream.core.jobs import JOBS, Job, JobState
from millstream.core.keys import Keys

from .report import Report

HOLDERS = (JobState.RUNNING, JobState.QUEUED, JobState.BLOCKED)
"""States in which a job may have passed a gate: one let in, or handed back, is queued again."""


@dataclass
class Gates:
    """What Redis holds of the gates: gate → jobs, and where each blocked job says it waits."""

    running: dict[str, set[str]] = field(default_factory=dict)
    parked: dict[str, set[str]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)


async def read_gate(redis: Any, key: bytes, kind: str, name: str, gates: Gates) -> None:
    """Read one key of a gate."""
    if kind == "running":
        gates.running[name] = {job.decode() for job in await redis.smembers(key)}
    else:
        gates.parked[name] = {job.decode() for job in await redis.zrange(key, 0, -1)}


async def read_gates(redis: Any, keys: Keys, partition: str, gates: Gates) -> None:
    """Read what is kept of all gates together."""
    base = keys.base(partition)
    gates.waiting = {name.decode() for name in await redis.smembers(f"{base}:gates")}
    blocked = await redis.hgetall(f"{base}:blocked")
    gates.blocked = {job.decode(): name.decode() for job, name in blocked.items()}


def audit_gates(report: Report, partition: str, gates: Gates, live: Mapping[str, Job]) -> None:
    """Every blocked job waits at one gate, and only live jobs take up room."""
    parked = {job: name for name, jobs in gates.parked.items() for job in jobs}
    if len(parked) != sum(map(len, gates.parked.values())):
        report.add("parked-twice", partition, "expected every blocked job at one gate")
    if parked != gates.blocked:
        report.add("parked-differs", partition, f"expected {gates.blocked}, got {parked}")
    if set(gates.parked) != gates.waiting:
        report.add("gates-differ", partition, f"expected {set(gates.parked)}, got {gates.waiting}")
    for job in live.values():
        at_gate = job.state is JobState.BLOCKED and job.blocked_on != JOBS
        if at_gate != (job.id in parked):
            detail = f"{job.state.value}, waits at {parked.get(job.id)}"
            report.add("parked-missing", job.id, detail)
    for job in set(parked) - set(live):
        report.add("parked-orphan", job, "expected nothing of a job that does not live")
    for name, jobs in gates.running.items():
        for job in jobs:
            if job not in live or live[job].state not in HOLDERS:
                state = live[job].state.value if job in live else "ended"
                report.add("slot-leaked", job, f"it is {state}, and takes up room at {name}")
