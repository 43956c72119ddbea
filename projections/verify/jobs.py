"""The second pass: each row of `jobs` against the fold of its events, and sums of all of them."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from ...core.audits.history import History
from ...core.events import Record
from ...core.jobs import Job
from ..effect import MINUTE_FIELDS, Effect
from ..fold import fold
from ..rows import read_job, read_record
from ..statements import statement
from .letters import Letters
from .report import Run

PAGE = 500
NO_JOB = "00000000-0000-0000-0000-000000000000"


class JobPass:
    """Versions, transitions and rows, job by job; keeps no more than a page, and the sums.

    minutes    "queue/type/what" → how many, as job_minutes holds over all time
    durations  "queue/type/kind/bucket" → how many
    letters    groups in which jobs failed
    """

    def __init__(self, connection: Any, run: Run) -> None:
        self._connection = connection
        self._run = run
        self.minutes: Counter[str] = Counter()
        self.durations: Counter[str] = Counter()
        self.letters = Letters()

    async def pages(self) -> AsyncGenerator[None]:
        """Do it; yields after each page."""
        cursor = self._run.cursor
        queues = list(self._run.plan.queues) or None
        while True:
            after = cursor.job or NO_JOB
            rows = await self._connection.fetch(statement("verify_jobs"), after, PAGE, queues)
            if not rows:
                return
            if self._run.chosen():
                await self._check({str(row["id"]): read_job(row) for row in rows})
                cursor.jobs += len(rows)
            cursor.job = str(rows[-1]["id"])
            yield

    async def _check(self, rows: dict[str, Job]) -> None:
        since = min(job.submitted_at for job in rows.values())
        found = await self._connection.fetch(statement("verify_events_of"), list(rows), since)
        records = [read_record(row) for row in found]
        broken = self._follow(records)
        # In the order of the log, so that the last of those that failed alike is the last one told.
        effect = fold(sorted(records, key=lambda one: (one.partition, one.epoch, one.seq)), {})
        told = {job.id: job for job in effect.created}
        parked = {event.record.job for event in effect.parked} | await self._parked(rows)
        for id_, row in rows.items():
            if id_ not in told:
                if row.queue not in self._run.cursor.late:
                    self._run.found.add("row-orphan", id_, "expected its submission in the archive")
            elif told[id_] != row and id_ not in parked | broken:
                self._run.found.add("row-differs", id_, difference(told[id_], row))
        self._add(effect)

    def _follow(self, records: Iterable[Record]) -> set[str]:
        """Audit the histories; the jobs in whose history something is wrong."""
        history = History()
        for record in records:
            begun = record.version == 1 or record.job in history.tracks
            if begun or record.partition not in self._run.cursor.late:
                history.follow(record)
        self._run.take(history.report)
        return {job for job, track in history.tracks.items() if track.broken}

    async def _parked(self, rows: dict[str, Job]) -> set[str]:
        """Jobs of which the database did not take an event: their rows stand before it."""
        ids = [id_.encode() for id_ in rows]
        found = await self._connection.fetch(statement("verify_parked_jobs"), ids)
        return {row["job"].decode() for row in found}

    def _add(self, effect: Effect) -> None:
        self.letters.add(effect.failures)
        for (_, queue, type_), row in effect.minutes.items():
            for name, count in zip(MINUTE_FIELDS, row, strict=True):
                self.minutes[f"{queue}/{type_}/{name}"] += count
        for (_, queue, type_, kind, bucket), count in effect.durations.items():
            self.durations[f"{queue}/{type_}/{kind}/{bucket}"] += count


def difference(told: Job, found: Job) -> str:
    """Where two jobs differ, field by field."""
    pairs = ((name, getattr(told, name), getattr(found, name)) for name in told.__struct_fields__)
    return "; ".join(f"{name}: expected {a!r}, got {b!r}" for name, a, b in pairs if a != b)
