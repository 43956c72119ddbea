"""How the API reads when there are very many jobs, and what they cost on disk.

python -m benchmarks.history --jobs 10000000

A generator writes finished jobs, four events each, straight into the tables, as the projector would
have left them; then pages are asked for over HTTP, and a projector works on top of it all.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import uvloop

from millstream.core.keys import partition_code
from millstream.projections.lane import SNAPSHOT_EVENTS
from millstream.projections.migrations import migrate

from .bench import Bench, stage
from .figures import Figure, percentile
from .http_load import HOST
from .project import finished_log, projected
from .roles import api, projector

DAY_MS = 86_400_000
DAYS = 10
QUEUES = [f"q{number}" for number in range(10)]
SNAPSHOT_JOBS = SNAPSHOT_EVENTS // 4
"""Jobs between two snapshots, as far apart as a projector leaves them."""

ASKED = 300
"""Requests of each kind."""

# Jobs of a queue are 864 ms apart if there are ten million, and do not overlap: seq follows time.
_JOBS = """
INSERT INTO jobs (id, submitted_at, run_at, ready_at, started_at, finished_at, seq, epoch, version,
                  attempt, max_attempts, crashes, priority, cancel_requested, queue, type, state,
                  worker, failure, error_text, payload, error, tags, fingerprint)
SELECT id, at, at + 200, at + 200, at + 210, at + 400, 4 * number, 1, 4, 1, 5, 0, 5, false, $1,
       'report.make' || number % 5, CASE WHEN failed THEN 'failed' ELSE 'succeeded' END,
       'host-1-ab',
       CASE WHEN failed THEN 'non_retryable' END,
       CASE WHEN failed THEN 'ValueError: order ' || number || ' is not known' END,
       json_build_object('order', number),
       CASE WHEN failed THEN json_build_object('type', 'ValueError', 'message',
                                               'order ' || number || ' is not known') END,
       CASE WHEN number % 100 = 0 THEN ARRAY['monthly'] END,
       CASE WHEN failed THEN lpad(to_hex(number % 7), 16, '0') END
  FROM numbered"""

_EVENTS = """
INSERT INTO job_events (time, seq, epoch, version, job, partition, entry, type, body)
SELECT at + step.later, 4 * (number - 1) + step.version, 1, step.version, id, $1,
       at + step.later || '-' || number % 1000, step.type,
       CASE step.version
           WHEN 1 THEN json_build_object('type', 'report.make' || number % 5, 'payload',
                json_build_object('data', json_build_object('order', number), 'codec', 'json'),
                'delay_ms', 200)
           WHEN 2 THEN '{"cause":"due"}'::json
           WHEN 3 THEN '{"attempt":1,"worker":"host-1-ab"}'::json
           ELSE '{"result":{"data":null,"codec":"json"}}'::json END
  FROM numbered,
       (VALUES (1, 0, 'job.submitted'), (2, 200, 'job.queued'), (3, 210, 'job.started'),
               (4, 400, 'job.succeeded')) AS step (version, later, type)"""

_SNAPSHOTS = f"""
INSERT INTO queue_snapshots (partition, epoch, seq, time, scheduled, queued, blocked, running,
                             retrying, succeeded, failed, cancelled)
SELECT $1, 1, 4 * number, at + 400, 0, 0, 0, 0, 0, number, 0, 0
  FROM numbered WHERE number % {SNAPSHOT_JOBS} = 0"""

_NUMBERED = """
WITH numbered AS MATERIALIZED (
    SELECT number, number % 50 = 0 AS failed, at,
           (lpad(to_hex(at), 12, '0') || '7' || lpad(to_hex(number % 4096), 3, '0') || '8'
            || lpad(to_hex(number), 9, '0') || $2)::uuid AS id
      FROM (SELECT number, $3::bigint + (number - $4) * $5::bigint / ($6 - $4) AS at
              FROM generate_series($4::bigint, $6::bigint - 1) AS number) AS placed)
"""


async def fill(dsn: str, jobs: int, first_day: int) -> None:
    """Write `jobs` finished jobs over `DAYS` days from `first_day` on (a number since 1970)."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET synchronous_commit = off")
        each = jobs // DAYS // len(QUEUES)
        for offset in range(DAYS):
            day = first_day + offset
            await connection.execute("SELECT add_jobs_day($1), add_events_day($1)", day)
            for queue in QUEUES:
                # The last events of a day must not fall into the next.
                code, first = f"{partition_code(queue):06x}", offset * each + 1
                given = (queue, code, day * DAY_MS, first, DAY_MS - 1000, first + each)
                await connection.execute(_NUMBERED + _JOBS, *given)
                await connection.execute(_NUMBERED + _EVENTS, *given)
                await connection.execute(_NUMBERED + _SNAPSHOTS, *given)
            print(f"day {offset + 1} of {DAYS}", file=sys.stderr)
        for query in (
            "INSERT INTO job_counts SELECT queue, type, state, count(*) FROM jobs GROUP BY 1, 2, 3",
            "INSERT INTO checkpoints (partition, epoch, seq, entry) "
            "SELECT queue, 1, max(seq), max(finished_at) || '-999' FROM jobs GROUP BY queue",
            "VACUUM (ANALYZE)",
        ):
            await connection.execute(query, timeout=3600)
    finally:
        await connection.close()


Ask = Callable[[random.Random, list[dict[str, Any]]], str]
"""A path to ask for, given some jobs that there are."""


def _time(chance: random.Random, jobs: list[dict[str, Any]]) -> str:
    return chance.choice(jobs)["started_at"].replace("+", "%2B")


def _instant(chance: random.Random) -> str:
    """One of the days that are full."""
    ends = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - DAY_MS
    at = chance.randrange(ends - (DAYS - 1) * DAY_MS, ends)
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


KINDS: dict[str, Ask] = {
    "a job": lambda chance, jobs: f"/jobs/{chance.choice(jobs)['id']}",
    "its history": lambda chance, jobs: f"/jobs/{chance.choice(jobs)['id']}/events",
    "its attempts": lambda chance, jobs: f"/jobs/{chance.choice(jobs)['id']}/attempts",
    "the newest jobs": lambda chance, jobs: "/jobs",
    "jobs of a queue": lambda chance, jobs: f"/jobs?queue={chance.choice(QUEUES)}",
    "failed jobs": lambda chance, jobs: "/jobs?state=failed",
    "failed jobs of a type": lambda chance, jobs: (
        f"/jobs?state=failed&type=report.make{chance.randrange(5)}"
    ),
    "jobs with a tag": lambda chance, jobs: "/jobs?tag=monthly",
    "jobs before a time": lambda chance, jobs: f"/jobs?created_before={_time(chance, jobs)}",
    "jobs of a queue before a time": lambda chance, jobs: (
        f"/jobs?queue={chance.choice(QUEUES)}&created_before={_time(chance, jobs)}"
    ),
    "jobs by a piece of their error": lambda chance, jobs: (
        f"/jobs?error=order%20{chance.randrange(1, 10**5) * 50}%20is"
    ),
    "a queue's counts at an instant": lambda chance, jobs: (
        f"/queues/{chance.choice(QUEUES)}/counts?at={_instant(chance)}"
    ),
    "a job at an instant": lambda chance, jobs: (
        f"/jobs/{(job := chance.choice(jobs))['id']}?at={job['started_at'].replace('+', '%2B')}"
    ),
    "failures in the log of a queue": lambda chance, jobs: (
        f"/events?queue={chance.choice(QUEUES)}&type=job.failed&from={_instant(chance)}"
    ),
    "what an actor did": lambda chance, jobs: f"/events?queue={chance.choice(QUEUES)}&actor=ada",
    "counts and percentiles": lambda chance, jobs: "/jobs/stats/summary",
}


async def measure(bench: Bench, jobs: int) -> list[Figure]:
    """Latency of each kind of page, disk per job, and the pace of a projector on top."""
    chance = random.Random(1)
    found: list[Figure] = []
    async with api(bench) as port:
        reader, writer = await asyncio.open_connection(HOST, port, limit=2**24)
        sample: list[dict[str, Any]] = []
        for queue in QUEUES:
            page = await _get(reader, writer, f"/jobs?queue={queue}&limit=100")
            sample += msgspec.json.decode(page)["items"]
        for kind, path_of in KINDS.items():
            seconds: list[float] = []
            for _ in range(ASKED):
                path = path_of(chance, sample)
                begin = time.perf_counter()
                await _get(reader, writer, path)
                seconds.append(time.perf_counter() - begin)
            found.append(Figure(f"{kind}, p50", percentile(seconds, 0.5) * 1e3, "ms"))
            found.append(Figure(f"{kind}, p99", percentile(seconds, 0.99) * 1e3, "ms", 50, False))
        writer.close()
    connection = await asyncpg.connect(bench.settings.postgres_dsn)
    size = await connection.fetchval("SELECT pg_database_size(current_database())")
    await connection.close()
    found.append(Figure("disk, tables and archive", size / jobs, "bytes/job"))
    target = await finished_log(bench, 100_000)
    with projector(bench):
        found.append(Figure("projector on top", await projected(bench, target), "events/s"))
    return found


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    from .http_load import ask

    return await ask(reader, writer, f"GET /api/v1{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())


async def run(jobs: int) -> list[Figure]:
    """All of it, on a fresh stage."""
    async with stage() as bench:
        dsn = bench.settings.postgres_dsn
        await migrate(dsn)
        for queue in QUEUES:
            await bench.directory.register(queue)
            last = 4 * (jobs // DAYS // len(QUEUES)) * DAYS
            await bench.redis.hset(bench.keys.meta(queue), mapping={"epoch": 1, "seq": last})
        begin = time.perf_counter()
        await fill(dsn, jobs, time.time_ns() // 1_000_000 // DAY_MS - DAYS - 1)
        print(f"filled in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        return await measure(bench, jobs)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for figure in runner.run(run(given.jobs)):
            mark = {None: "", True: "holds", False: "SHORT"}[figure.holds]
            print(f"{figure.name:42} {figure.value:12,.1f} {figure.unit:10} {mark}")


if __name__ == "__main__":
    main()
