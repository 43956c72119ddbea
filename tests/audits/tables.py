"""Audits PostgreSQL: the archive against the log, the tables against the fold of the archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.core.audits.history import Track
from millstream.core.audits.report import Report
from millstream.core.events import Record
from millstream.core.jobs import Job, JobState
from millstream.projections.connection import connect_once
from millstream.projections.effect import MINUTE_FIELDS, Group
from millstream.projections.flow_changes import FlowChange, Link
from millstream.projections.fold import fold
from millstream.projections.rows import read_job, read_record

MINUTE = ("minute", "queue", "type")
GROUP = ("queue", "type", "reason", "fingerprint")
"""Keys of the tables by minute, and of those of dead letters."""


@dataclass
class Stored:
    """What PostgreSQL holds of some partitions, read at one instant."""

    archive: list[Record]
    jobs: dict[str, Job]
    counts: dict[tuple[str, str, str], int]
    minutes: dict[tuple[int, str, str], list[int]]
    durations: dict[tuple[int, str, str, str, int], int]
    totals: dict[tuple[str, str, str, int], int]
    checkpoints: dict[str, tuple[int, int, str | None]]
    parked: list[tuple[str, int, int, str]]
    letters: dict[Group, tuple[str, int, int, str]]
    """Group → label, first_at, last_at, sample."""
    letter_counts: dict[Group, int]
    links: set[Link]
    flows: dict[str, list[int]]
    """Flow → first_at, last_at, jobs, then by state."""
    snapshots: dict[tuple[str, int], dict[str, int]]
    """Partition and seq → time, and jobs by state."""


async def read_stored(dsn: str, partitions: Sequence[str]) -> Stored:
    """Read it in one snapshot."""
    connection = await connect_once(dsn, timeout=60, role="audit")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _read(connection, list(partitions))
    finally:
        await connection.close()


async def _read(connection: Any, partitions: list[str]) -> Stored:
    async def rows(table: str, column: str = "queue", order: str = "") -> list[Any]:
        query = f"SELECT * FROM {table} WHERE {column} = ANY ($1::text[]) {order}"
        return await connection.fetch(query, partitions)

    letters = await rows("dead_letters")
    events = await rows("job_events", "partition", "ORDER BY partition, epoch, seq")
    snapshots = await rows("queue_snapshots", "partition", "ORDER BY partition, seq")
    return Stored(
        archive=[read_record(row) for row in events],
        jobs={str(row["id"]): read_job(row) for row in await rows("jobs")},
        counts=_sums(await rows("job_counts"), "queue", "type", "state"),
        minutes=_minutes(await rows("job_minutes")),
        durations=_sums(await rows("job_minute_durations"), *MINUTE, "kind", "bucket"),
        totals=_sums(await rows("job_durations"), "queue", "type", "kind", "bucket"),
        checkpoints=_checkpoints(await rows("checkpoints", "partition")),
        parked=_parked(await rows("parked_events", "partition")),
        letters=_letters(letters),
        letter_counts=_sums(letters, *GROUP),
        links=_links(await connection.fetch("SELECT * FROM job_links")),
        flows=_flows(await connection.fetch("SELECT * FROM flows")),
        snapshots=_snapshots(snapshots),
    )


def _sums(rows: list[Any], *key: str) -> dict[Any, int]:
    return {tuple(row[name] for name in key): row["count"] for row in rows if row["count"]}


def _minutes(rows: list[Any]) -> dict[Any, list[int]]:
    return {
        tuple(row[name] for name in MINUTE): [row[name] for name in MINUTE_FIELDS] for row in rows
    }


def _checkpoints(rows: list[Any]) -> dict[str, tuple[int, int, str | None]]:
    return {row["partition"]: (row["epoch"], row["seq"], row["halted"]) for row in rows}


def _parked(rows: list[Any]) -> list[tuple[str, int, int, str]]:
    return [(row["partition"], row["epoch"], row["seq"], row["reason"]) for row in rows]


def _letters(rows: list[Any]) -> dict[Any, tuple[str, int, int, str]]:
    return {
        tuple(row[name] for name in GROUP): (
            row["label"],
            row["first_at"],
            row["last_at"],
            str(row["sample"]),
        )
        for row in rows
    }


def _links(rows: list[Any]) -> set[Link]:
    return {
        Link(str(row["dependent"]), str(row["parent"]), row["flow"] and str(row["flow"]))
        for row in rows
    }


def _flows(rows: list[Any]) -> dict[str, list[int]]:
    return {str(row["id"]): list(row)[1:] for row in rows}


def _snapshots(rows: list[Any]) -> dict[tuple[str, int], dict[str, int]]:
    return {
        (row["partition"], row["seq"]): {name: row[name] for name in ("time", *JobState)}
        for row in rows
    }


def audit_archive(report: Report, archive: Sequence[Record], log: Sequence[Record]) -> None:
    """Where the archive and the log both hold an event, it is the same, byte for byte."""
    kept = {record.position: record for record in archive}
    for record in log:
        stored = kept.get(record.position)
        if stored is not None and stored != record:
            report.add("archive-differs", record.position, f"expected {record}, got {stored}")


def audit_checkpoints(report: Report, stored: Stored, heads: Mapping[str, int] | None) -> None:
    """Each checkpoint stands at the archive's end; with `heads`, at the log's."""
    ends = {record.partition: record.seq for record in stored.archive}
    for partition, end in ends.items():
        _, seq, halted = stored.checkpoints.get(partition, (0, 0, None))
        if seq != end:
            report.add("checkpoint-differs", partition, f"expected seq {end}, got {seq}")
        if halted is not None:
            report.add("projection-halted", partition, halted)
    for partition, head in (heads or {}).items():
        if ends.get(partition, 0) != head:
            got = ends.get(partition, 0)
            report.add("projection-behind", partition, f"expected seq {head}, got {got}")


def audit_tables(report: Report, stored: Stored, tracks: Mapping[str, Track]) -> None:
    """The tables against the fold of the archive (`tracks`), counters against GROUP BY."""
    for partition, epoch, seq, reason in stored.parked:
        report.add("event-parked", f"{partition}:{epoch}:{seq}", reason)
    for job, track in tracks.items():
        row = stored.jobs.get(job)
        if row is None:
            report.add("row-missing", job, "expected a row in jobs")
        elif row != track.job and not track.broken:
            report.add("row-differs", job, _difference(track.job, row))
    for job in set(stored.jobs) - set(tracks):
        report.add("row-orphan", job, "expected its submission in the archive")
    grouped = Counter((job.queue, job.type, job.state.value) for job in stored.jobs.values())
    _compare(report, "counts-differ", grouped, stored.counts)
    _compare(report, "letters-differ", letters_of(stored.jobs.values()), stored.letter_counts)
    _audit_statistics(report, stored)
    _audit_snapshots(report, stored)


def _audit_snapshots(report: Report, stored: Stored) -> None:
    """Each snapshot holds the counts of the fold up to its event."""
    told: dict[tuple[str, int], dict[str, int]] = {}
    batch: list[Record] = []
    jobs: dict[str, Job] = {}
    parked: set[str] = set()
    counts: Counter[tuple[str, str]] = Counter()
    for record in stored.archive:
        batch.append(record)
        place = (record.partition, record.seq)
        if place in stored.snapshots:
            effect = fold(batch, jobs, parked)
            batch = []
            jobs |= {job.id: job for job in [*effect.created, *effect.changed]}
            parked |= {one.record.job for one in effect.parked}
            for (queue, _, state), count in effect.counts.items():
                counts[queue, state] += count
            states = {state.value: counts[record.partition, state] for state in JobState}
            told[place] = {"time": record.time, **states}
    _compare(report, "snapshots-differ", told, stored.snapshots)


def letters_of(jobs: Iterable[Job]) -> Counter[Group]:
    """The counts that a GROUP BY over the dead letters among `jobs` gives."""
    return Counter(
        (job.queue, job.type, job.failure or "", job.fingerprint)
        for job in jobs
        if job.state is JobState.FAILED and job.fingerprint is not None and not job.discarded
    )


def _audit_statistics(report: Report, stored: Stored) -> None:
    minutes: dict[tuple[int, str, str], list[int]] = {}
    durations: Counter[tuple[int, str, str, str, int]] = Counter()
    letters: dict[Group, tuple[Any, ...]] = {}
    links: set[Link] = set()
    flows: dict[str, list[int]] = {}
    for partition in {record.partition for record in stored.archive}:
        effect = fold([one for one in stored.archive if one.partition == partition], {})
        minutes.update(effect.minutes)
        durations.update(effect.durations)
        letters.update({group: tuple(told) for group, told in effect.failures.items()})
        links.update(effect.links)
        for flow, change in effect.flows.items():
            _add_flow(flows, flow, change)
    totals: Counter[tuple[str, str, str, int]] = Counter()
    for (_, queue, kind, what, bucket), count in durations.items():
        totals[queue, kind, what, bucket] += count
    _compare(report, "minutes-differ", minutes, stored.minutes)
    _compare(report, "durations-differ", durations, stored.durations)
    _compare(report, "durations-differ", totals, stored.totals)
    _compare(report, "letters-differ", letters, stored.letters)
    if links != stored.links:
        report.add("links-differ", "job_links", str(links ^ stored.links))
    _compare(report, "flows-differ", flows, stored.flows)


def _add_flow(flows: dict[str, list[int]], flow: str, change: FlowChange) -> None:
    """Bring a partition's part of a flow to that of others."""
    counts = [change.jobs, *(change.states.get(state, 0) for state in JobState)]
    known = flows.get(flow)
    if known is None:
        flows[flow] = [change.first_at, change.last_at, *counts]
        return
    times = [min(known[0], change.first_at), max(known[1], change.last_at)]
    flows[flow] = times + [a + b for a, b in zip(known[2:], counts, strict=True)]


def _compare(report: Report, name: str, told: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
    for key in sorted(set(told) | set(found)):
        if told.get(key) != found.get(key):
            report.add(name, str(key), f"expected {told.get(key)}, got {found.get(key)}")


def _difference(told: Job, found: Job) -> str:
    pairs = ((name, getattr(told, name), getattr(found, name)) for name in told.__struct_fields__)
    return "; ".join(f"{name}: expected {a!r}, got {b!r}" for name, a, b in pairs if a != b)
