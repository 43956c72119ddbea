"""Reading the tables. Errors: Unavailable; InvalidCursor where a cursor is taken."""

from collections.abc import Iterable
from typing import Any

import asyncpg
import msgspec

from ..core.config import Settings
from ..core.events import Record
from ..core.ids import is_id
from ..core.jobs import Job, JobState
from ..core.linking import Outcome, outcome_in
from .connection import connect_pool, translated
from .histogram import percentile
from .listing import JobFilter, listing, next_cursor, read_cursor
from .rows import read_job, read_record
from .statements import statement


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first, and where the next page begins; None: there is no more."""

    items: list[Job]
    next_cursor: str | None


class Percentiles(msgspec.Struct, frozen=True):
    """Durations in ms, off by at most histogram.ERROR of their value; None where there are none."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Summary(msgspec.Struct, frozen=True):
    """Sums over all time. `success_rate`: succeeded / (succeeded + failed); None of none."""

    by_state: dict[str, int]
    total: int
    success_rate: float | None
    wait_ms: Percentiles
    run_ms: Percentiles


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a partition is projected; `halted`: why it goes no further."""

    epoch: int
    seq: int
    entry: str
    halted: str | None


async def connect(settings: Settings) -> asyncpg.Pool:
    """A pool for these queries; the server may be down yet."""
    return await connect_pool(settings.postgres_dsn, timeout=settings.command_timeout)


async def get_job(pool: asyncpg.Pool, id: str) -> Job | None:
    """A job as its row tells it."""
    return (await get_jobs(pool, [id])).get(id)


async def get_jobs(pool: asyncpg.Pool, ids: Iterable[str]) -> dict[str, Job]:
    """The jobs that have a row, by id; what is no id has none."""
    wanted = sorted({id_ for id_ in ids if is_id(id_)})
    if not wanted:
        return {}
    bounds = wanted[0], wanted[-1]
    rows = await _fetch(pool, statement("jobs_by_id"), wanted, *bounds)
    return {job.id: job for job in map(read_job, rows)}


async def job_ends(pool: asyncpg.Pool, ids: Iterable[str]) -> dict[str, Outcome | None]:
    """How the jobs that have a row ended, by id; None: it lives."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = await _fetch(pool, statement("job_ends"), wanted, wanted[0], wanted[-1])
    return {str(row["id"]): outcome_in(row["state"], discarded=row["discarded"]) for row in rows}


async def list_jobs(
    pool: asyncpg.Pool,
    filter: JobFilter,
    cursor: str | None = None,
    limit: int = 50,
) -> JobPage:
    """A page of jobs that fit `filter`, newest first."""
    sql, args = listing(filter, read_cursor(cursor), limit + 1)
    jobs = [read_job(row) for row in await _fetch(pool, sql, *args)]
    if len(jobs) <= limit:
        return JobPage(jobs, None)
    return JobPage(jobs[:limit], next_cursor(jobs[limit - 1].id))


async def job_events(
    pool: asyncpg.Pool,
    id: str,
    after_version: int = 0,
    limit: int = 1000,
) -> list[Record]:
    """The archived events of a job after a version, in order."""
    if not is_id(id):
        return []
    rows = await _fetch(pool, statement("job_history"), id, after_version, limit)
    return [read_record(row) for row in rows]


async def is_archived(pool: asyncpg.Pool, job: str, partition: str, epoch: int, seq: int) -> bool:
    """Whether the archive has the event of that job at that position."""
    return bool(await _fetch(pool, statement("event_archived"), job, partition, epoch, seq))


async def schedule_events(
    pool: asyncpg.Pool, name: str, before: tuple[int, str, int] | None = None, limit: int = 100
) -> list[Record]:
    """The archived events of a schedule, newest first; `before`: time, partition and seq of one."""
    begin = before or (2**63 - 1, "", 0)
    rows = await _fetch(pool, statement("schedule_history"), name, *begin, limit)
    return [read_record(row) for row in rows]


async def lost_workers(pool: asyncpg.Pool, since: int, limit: int = 1000) -> dict[str, int]:
    """Workers lost since then (ms) that did not come back: when, by name."""
    rows = await _fetch(pool, statement("lost_workers"), since, limit)
    return {row["worker"]: row["time"] for row in rows}


async def queue_modes(pool: asyncpg.Pool, queue: str, until: int, limit: int) -> list[Record]:
    """The last archived pauses, drains and resumptions of a queue until an instant, in order."""
    rows = await _fetch(pool, statement("queue_modes"), queue, until, limit)
    return [read_record(row) for row in reversed(rows)]


async def archived_events(
    pool: asyncpg.Pool, partition: str, after_seq: int = 0, limit: int = 1000
) -> list[Record]:
    """The archived events of a partition after a seq, in order."""
    rows = await _fetch(pool, statement("partition_events"), partition, after_seq, limit)
    return [read_record(row) for row in rows]


async def summary(
    pool: asyncpg.Pool,
    queue: str | None = None,
    type: str | None = None,
) -> Summary:
    """Counts and percentiles, of a queue or a job type or of all."""
    counts = {state.value: 0 for state in JobState}
    counts.update(await _fetch(pool, statement("summary_states"), queue, type))
    ended = counts["succeeded"] + counts["failed"]
    buckets: dict[str, dict[int, int]] = {"wait": {}, "run": {}}
    for kind, bucket, count in await _fetch(pool, statement("summary_durations"), queue, type):
        buckets[kind][bucket] = count
    return Summary(
        by_state=counts,
        total=sum(counts.values()),
        success_rate=counts["succeeded"] / ended if ended else None,
        wait_ms=_percentiles(buckets["wait"]),
        run_ms=_percentiles(buckets["run"]),
    )


async def checkpoints(pool: asyncpg.Pool) -> dict[str, Checkpoint]:
    """How far each partition is projected."""
    rows = await _fetch(pool, "SELECT partition, epoch, seq, entry, halted FROM checkpoints")
    return {partition: Checkpoint(*rest) for partition, *rest in rows}


async def loss_noted_at(pool: asyncpg.Pool, partition: str, known: Checkpoint) -> int | None:
    """When it was noted that a log was lost whose archive ends there (ms); None: it was not."""
    rows = await _fetch(pool, statement("loss_noted_at"), partition, known.epoch, known.seq)
    return rows[0]["time"] if rows else None


async def missing_events(pool: asyncpg.Pool) -> dict[str, int]:
    """Partition → how many events were declared to be nowhere; those without any are left out."""
    found: dict[str, int] = {}
    for partition, first, last in await _fetch(pool, statement("gaps"), None):
        found[partition] = found.get(partition, 0) + last - first + 1
    return found


async def projection_version(pool: asyncpg.Pool, name: str = "tables") -> int:
    """Which version of a projection its tables hold; 0: it is not known here."""
    rows = await _fetch(pool, "SELECT version FROM projections WHERE name = $1", name)
    return rows[0]["version"] if rows else 0


async def projector_present(pool: asyncpg.Pool) -> bool:
    """Whether a projector is connected to this database, as far as can be seen."""
    (row,) = await _fetch(pool, statement("projector_present"))
    return row["present"]


def _percentiles(counts: dict[int, int]) -> Percentiles:
    return Percentiles(*(percentile(counts, share) for share in (0.5, 0.95, 0.99)))


async def _fetch(pool: asyncpg.Pool, sql: str, *args: Any) -> list[Any]:
    with translated():
        return await pool.fetch(sql, *args)
