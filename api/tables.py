"""The projected tables as the API reads them: each failure to reach them is one sort of problem."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from ..core.config import Settings
from ..core.errors import Unavailable
from ..core.events import Record
from ..core.jobs import Job
from ..projections import queries
from ..projections.listing import JobFilter
from ..projections.queries import Checkpoint, JobPage, Summary
from .problems import TABLES_DOWN, Problem


class Tables:
    """Reads, each raising Problem when PostgreSQL does not answer."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncGenerator["Tables"]:
        """Over a pool of its own; PostgreSQL may be down."""
        pool = await queries.connect(settings)
        try:
            yield cls(pool)
        finally:
            pool.terminate()

    async def job(self, job: str) -> Job | None:
        """A job; None if the tables do not know it."""
        with _told():
            return await queries.get_job(self._pool, job)

    async def jobs(self, wanted: JobFilter, cursor: str | None, limit: int) -> JobPage:
        """A page of jobs, newest first. Raises InvalidCursor."""
        with _told():
            return await queries.list_jobs(self._pool, wanted, cursor, limit)

    async def events(self, job: str, after_version: int, limit: int) -> list[Record]:
        """Archived events of a job, in order."""
        with _told():
            return await queries.job_events(self._pool, job, after_version, limit)

    async def schedule_events(
        self, name: str, before: tuple[int, str, int] | None, limit: int
    ) -> list[Record]:
        """Archived events of a schedule, newest first."""
        with _told():
            return await queries.schedule_events(self._pool, name, before, limit)

    async def spec(self, job: str) -> bytes | None:
        """The body a job was submitted with; None if the archive does not hold it any more."""
        records = await self.events(job, 0, 1)
        return records[0].body if records and records[0].version == 1 else None

    async def summary(self, queue: str | None, type: str | None) -> Summary:
        """Counts and percentiles."""
        with _told():
            return await queries.summary(self._pool, queue=queue, type=type)

    async def checkpoints(self) -> dict[str, Checkpoint]:
        """How far each partition is projected."""
        with _told():
            return await queries.checkpoints(self._pool)


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except Unavailable as error:
        raise Problem(TABLES_DOWN, f"{error}. Submissions are taken all the same.") from error
