"""Audits what Redis holds of a partition against the fold of its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions

from millstream.core.audits.history import Track
from millstream.core.audits.report import Report
from millstream.core.hot import _HEADER, STATES
from millstream.core.jobs import JobState
from millstream.core.keys import GROUP, Keys
from millstream.core.log import Head

from .gates import Gates, audit_gates, read_gate, read_gates
from .links import audit_awaited, audit_links
from .schedules import HotSchedules, read_schedules

DUE_TOLERANCE_MS = 1000
WITH_ENTRY = (JobState.QUEUED, JobState.RUNNING)


@dataclass
class Hot:
    """Everything Redis holds of a partition but its log."""

    jobs: dict[str, bytes] = field(default_factory=dict)
    ready: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Job → lane and entry."""
    twice: list[str] = field(default_factory=list)
    pending: set[tuple[str, str]] = field(default_factory=set)
    due: dict[str, float] = field(default_factory=dict)
    lost_groups: list[str] = field(default_factory=list)
    gates: Gates = field(default_factory=Gates)
    bell: int = 0
    locks: dict[str, str] = field(default_factory=dict)
    """Lock that is held for no certain time → the job it names."""
    steps: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Job → its steps → body of the event."""
    parents: dict[str, set[str]] = field(default_factory=dict)
    """Job → the jobs it still waits for."""
    awaited: dict[str, set[str]] = field(default_factory=dict)
    """Job → who waits for it."""
    dependents: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    """Jobs that left very many others, who are still to be told."""
    announced: set[str] = field(default_factory=set)
    """The jobs of which the outbox says so."""
    early: set[str] = field(default_factory=set)
    """Jobs for which it is kept, for no certain time, how others ended."""
    schedules: HotSchedules = field(default_factory=HotSchedules)
    others: list[str] = field(default_factory=list)
    """Keys that nobody should have made."""
    moved: Mapping[str, int] = field(default_factory=dict)
    """Job → by how many ms a test moved its due time back."""


async def read_hot(redis: Any, keys: Keys, partition: str) -> Hot:
    """Read it; the partition must be at rest meanwhile."""
    hot, base = Hot(), keys.base(partition)
    known = {
        "log", "meta", "due", "bell", "types", "limits", "serving", "gates", "blocked", "timers",
        "schedule_due", "dependents", "ended",
    }  # fmt: skip
    jobs: list[str] = []
    schedules: list[str] = []
    passing: dict[str, list[bytes]] = {"early": [], "unique": []}
    async for raw in redis.scan_iter(match=f"{base}:*", count=1000):
        kind, _, rest = raw.decode()[len(base) + 1 :].partition(":")
        if kind == "job":
            jobs.append(rest)
        elif kind == "schedule":
            schedules.append(rest)
        elif kind == "ready":
            await _read_lane(redis, raw, rest, hot)
        elif kind in ("running", "parked"):
            await read_gate(redis, raw, kind, rest, hot.gates)
        elif kind == "steps":
            kept = await redis.hgetall(raw)
            hot.steps[rest] = {step.decode(): body for step, body in kept.items()}
        elif kind in ("parents", "awaited"):
            members = {member.decode() for member in await redis.smembers(raw)}
            (hot.parents if kind == "parents" else hot.awaited)[rest] = members
        elif kind == "leaving":
            hot.leaving.add(rest)
        elif kind in ("early", "unique"):
            passing[kind].append(raw)
        elif kind not in known and kind not in ("once", "gone", "rate"):
            hot.others.append(raw.decode())
    for first in range(0, len(jobs), 1000):
        part = jobs[first : first + 1000]
        raws = await redis.mget([keys.job(partition, job) for job in part])
        hot.jobs |= {job: raw for job, raw in zip(part, raws, strict=True) if raw is not None}
    for raw in await _lasting(redis, passing["early"]):
        hot.early.add(raw.decode().rpartition(":")[2])
    for raw in await _lasting(redis, passing["unique"]):
        job = (await redis.get(raw) or b"").decode().partition(":")[0]
        hot.locks[raw.decode().rpartition(":")[2]] = job
    await _read_waiting(redis, keys, partition, hot)
    await read_gates(redis, keys, partition, hot.gates)
    hot.schedules = await read_schedules(redis, keys, partition, schedules)
    hot.bell = await redis.llen(keys.bell(partition))
    return hot


async def _read_waiting(redis: Any, keys: Keys, partition: str, hot: Hot) -> None:
    """Who waits for a time or for others, and who is noted to have left very many of them."""
    due = await redis.zrange(keys.due(partition), 0, -1, withscores=True)
    hot.due = {job.decode(): score for job, score in due}
    found = await redis.zrange(keys.dependents(partition), 0, -1)
    hot.dependents = {job.decode() for job in found}
    for _, entry in await redis.xrange(f"{keys.base(partition)}:ended"):
        if not entry[3]:  # fields in the order of ending.lua
            hot.announced.update(entry[1].decode().split()[::2])


async def _lasting(redis: Any, keys: list[bytes]) -> list[bytes]:
    """Those that do not go away after a time: few, if all is well, of very many."""
    found: list[bytes] = []
    for first in range(0, len(keys), 1000):
        part = keys[first : first + 1000]
        pipeline = redis.pipeline(transaction=False)
        for key in part:
            pipeline.pttl(key)
        left = await pipeline.execute()
        found += [key for key, ms in zip(part, left, strict=True) if ms < 0]
    return found


async def _read_lane(redis: Any, stream: bytes, lane: str, hot: Hot) -> None:
    entries = await redis.execute_command("XRANGE", stream, "-", "+")
    for entry, fields in entries:
        job = fields[1].decode()
        if job in hot.ready:
            hot.twice.append(job)
        hot.ready[job] = lane, entry.decode()
    try:
        pending = await redis.xpending_range(stream, GROUP, "-", "+", 10_000_000)
    except exceptions.ResponseError:
        hot.lost_groups.append(lane)
        return
    hot.pending |= {(lane, lease["message_id"].decode()) for lease in pending}


def audit_hot(report: Report, partition: str, hot: Hot, tracks: dict[str, Track]) -> None:
    """Compare it with the live jobs that the events of the partition tell of."""
    live = {job: t for job, t in tracks.items() if not t.job.terminal and not t.broken}
    broken = {job for job, track in tracks.items() if track.broken}
    for job, track in live.items():
        raw = hot.jobs.get(job)
        if raw is None:
            report.add("hot-missing", job, f"expected hot state in {track.job.state.value}")
            continue
        _audit_header(report, track, raw)
        _audit_place(report, track, raw, hot)
        _audit_steps(report, track, raw, hot)
        audit_links(report, track, raw, hot)
    audit_awaited(report, hot, set(live) | broken)
    for name, found in (
        ("hot", hot.jobs),
        ("ready", hot.ready),
        ("due", hot.due),
        ("steps", hot.steps),
        ("parents", hot.parents),
        ("dependents", hot.dependents),
        ("early", hot.early),
    ):
        for job in set(found) - set(live) - broken:
            report.add(f"{name}-orphan", job, "expected nothing of a job that does not live")
    audit_gates(report, partition, hot.gates, {job: track.job for job, track in live.items()})
    for lock, job in hot.locks.items():
        if job not in live and job not in broken:
            report.add("lock-orphan", lock, f"expected its job to live, got {job}")
    for job in hot.twice:
        report.add("ready-twice", job, "expected one ready entry, got two")
    for lane in hot.lost_groups:
        report.add("group-missing", f"{partition}:ready:{lane}", "expected its consumer group")
    if hot.bell > 1:
        report.add("bell-too-long", partition, f"expected at most 1 token, got {hot.bell}")
    for key in hot.others:
        report.add("stray-key", key, "expected no such key")


def audit_head(report: Report, partition: str, head: Head, last_seq: int) -> None:
    """The partition's own count of its events against the log."""
    if head.seq != last_seq:
        report.add("head-differs", partition, f"expected seq {last_seq}, got {head.seq}")
    if head.archived > last_seq:
        report.add("archived-ahead", partition, f"expected {last_seq}, got {head.archived}")


def _audit_header(report: Report, track: Track, raw: bytes) -> None:
    job = track.job
    state, priority, flags, crashes, attempt, version, fence, _, _ = _HEADER.unpack_from(raw)
    running = job.state is JobState.RUNNING
    found = {
        "state": JobState.RUNNING
        if running and STATES[state] is JobState.QUEUED
        else STATES[state],
        "priority": priority,
        "cancel_requested": bool(flags & 1),
        "crashes": crashes,
        "tries": attempt,
        # A claim does not write: the header is one event behind a lease.
        "version": max(version, fence) if running else version,
        "spec": raw[_HEADER.size :],
    }
    told = {
        "state": job.state,
        "priority": job.priority,
        "cancel_requested": job.cancel_requested,
        "crashes": job.crashes,
        "tries": track.tries,
        "version": job.version,
        "spec": track.spec,
    }
    for name, value in told.items():
        if found[name] != value:
            detail = f"{name}: expected {value!r}, got {found[name]!r}"
            report.add("hot-differs", job.id, detail)


def _audit_place(report: Report, track: Track, raw: bytes, hot: Hot) -> None:
    job = track.job
    _, priority, _, _, _, _, _, _, entry = _HEADER.unpack_from(raw)
    place = (str(priority), entry.rstrip(b"\0").decode())
    if job.state is JobState.BLOCKED:
        return  # see gates
    if job.state not in WITH_ENTRY:
        expected = (job.run_at or 0) - hot.moved.get(job.id, 0)
        if job.id not in hot.due:
            report.add("due-missing", job.id, f"expected it due, in {job.state.value}")
        elif abs(hot.due[job.id] - expected) > DUE_TOLERANCE_MS:
            report.add("due-differs", job.id, f"expected {expected}, got {hot.due[job.id]}")
        return
    if hot.ready.get(job.id) != place:
        report.add("ready-missing", job.id, f"expected {place}, got {hot.ready.get(job.id)}")
    if (place in hot.pending) != (job.state is JobState.RUNNING):
        name = "lease-orphan" if place in hot.pending else "lease-missing"
        report.add(name, job.id, f"of the events it is {job.state.value}")


def _audit_steps(report: Report, track: Track, raw: bytes, hot: Hot) -> None:
    job, kept = track.job, hot.steps.get(track.job.id, {})
    if kept != track.steps:
        detail = f"expected {sorted(track.steps)}, got {sorted(kept)}, or another result of one"
        report.add("steps-differ", job.id, detail)
    if bool(raw[2] & 8) != bool(track.steps):
        report.add("steps-flag", job.id, f"expected it to say whether it has steps, got {raw[2]}")
