"""The projected tables as the API reads them: each failure to reach them is one sort of problem."""

from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

from ..core.config import Settings
from ..core.errors import Unavailable
from ..core.events import Record
from ..core.jobs import Job
from ..core.linking import Outcome
from ..core.subjects import Wrapped
from ..projections import attempts, dead_letters, flows, holds, queries, subject_keys, targets
from ..projections.attempts import Attempt
from ..projections.connection import close_pool
from ..projections.conservation import reading
from ..projections.conservation.reading import PartitionAudit
from ..projections.dead_letters import DeadLetterFilter, DeadLetterPage
from ..projections.flows import FlowCounts, FlowEdge, FlowNode
from ..projections.holds import Hold
from ..projections.listing import JobFilter
from ..projections.proof import seals
from ..projections.proof.seals import Proof
from ..projections.queries import Checkpoint, JobPage, Summary
from ..projections.subject_keys import KeyRow
from ..projections.targets import TargetPage
from .problems import TABLES_DOWN, Problem


class Tables:
    """Reads, each raising Problem when PostgreSQL does not answer."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @property
    def pool(self) -> Any:
        """The pool itself, for reads whose errors `problems` tells apart."""
        return self._pool

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncGenerator["Tables"]:
        """Over a pool of its own; PostgreSQL may be down."""
        pool = await queries.connect(settings)
        try:
            yield cls(pool)
        finally:
            await close_pool(pool)

    async def job(self, job: str) -> Job | None:
        """A job; None if the tables do not know it."""
        with _told():
            return await queries.get_job(self._pool, job)

    async def ends(self, jobs: Sequence[str]) -> dict[str, Outcome | None]:
        """How those jobs ended that the tables know; None: it lives."""
        with _told():
            return await queries.job_ends(self._pool, jobs)

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

    async def lost_workers(self, since: int) -> dict[str, int]:
        """Workers lost since then (ms) that did not come back: when, by name."""
        with _told():
            return await queries.lost_workers(self._pool, since)

    async def attempts(self, job: str, after: int, limit: int) -> list[Attempt]:
        """Attempts at a job that began after the version `after`, in order."""
        with _told():
            return await attempts.job_attempts(self._pool, job, after, limit)

    async def spec(self, job: str) -> bytes | None:
        """The last spec a job was given; None if the archive does not hold it any more."""
        return (await self.specs([job])).get(job)

    async def specs(self, jobs: Sequence[str]) -> dict[str, bytes]:
        """The same for many jobs, at most `targets.SPECS_AT_ONCE`."""
        with _told():
            return await targets.specs(self._pool, jobs)

    async def targets(self, wanted: JobFilter, cursor: str | None, limit: int) -> TargetPage:
        """A page of jobs to do something to, newest first. Raises InvalidCursor."""
        with _told():
            return await targets.list_targets(self._pool, wanted, cursor, limit)

    async def flow(self, flow: str) -> FlowCounts | None:
        """How a flow stands; None if the tables do not know it."""
        with _told():
            return await flows.get_flow(self._pool, flow)

    async def flows(self, cursor: str | None, limit: int) -> tuple[list[FlowCounts], str | None]:
        """A page of flows, newest first. Raises InvalidCursor."""
        with _told():
            return await flows.list_flows(self._pool, cursor, limit)

    async def flow_jobs(
        self, flow: str, cursor: str | None, limit: int
    ) -> tuple[list[FlowNode], str | None]:
        """A page of the jobs of a flow. Raises InvalidCursor."""
        with _told():
            return await flows.flow_jobs(self._pool, flow, cursor, limit)

    async def flow_edges(
        self, flow: str, cursor: str | None, limit: int
    ) -> tuple[list[FlowEdge], str | None]:
        """A page of the edges of a flow. Raises InvalidCursor."""
        with _told():
            return await flows.flow_edges(self._pool, flow, cursor, limit)

    async def dead_letters(
        self, wanted: DeadLetterFilter, cursor: str | None, limit: int
    ) -> DeadLetterPage:
        """A page of groups of dead letters. Raises InvalidCursor."""
        with _told():
            return await dead_letters.list_dead_letters(self._pool, wanted, cursor, limit)

    async def queue_states(self, queues: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many jobs of each queue are in which state."""
        with _told():
            return await targets.queue_states(self._pool, queues)

    async def summary(self, queue: str | None, type: str | None) -> Summary:
        """Counts and percentiles."""
        with _told():
            return await queries.summary(self._pool, queue=queue, type=type)

    async def is_archived(self, job: str, partition: str, epoch: int, seq: int) -> bool:
        """Whether the archive has the event of that job at that position."""
        with _told():
            return await queries.is_archived(self._pool, job, partition, epoch, seq)

    async def add_subjects(self, keys: Sequence[Wrapped]) -> list[Wrapped]:
        """Keep new keys of subjects; those that stand."""
        with _told():
            return await subject_keys.add(self._pool, keys)

    async def subjects_by_id(self, ids: Collection[str]) -> dict[str, KeyRow]:
        """Keys of subjects by id."""
        with _told():
            return await subject_keys.by_id(self._pool, ids)

    async def erase_subject(self, subject: str, actor: str, reason: str) -> list[str]:
        """Erase the key of a subject; the ids of what was erased."""
        with _told():
            return await subject_keys.erase(self._pool, subject, actor, reason)

    async def place_hold(self, hold: Hold) -> datetime | None:
        """Place a hold; when, or None if there is one of that name."""
        with _told():
            return await holds.place(self._pool, hold)

    async def holds(self, after: str, limit: int) -> list[Hold]:
        """Holds in the order of their names."""
        with _told():
            return await holds.holds(self._pool, after, limit)

    async def release_hold(self, name: str) -> bool:
        """Release a hold; False if there is none."""
        with _told():
            return await holds.release(self._pool, name)

    async def event(self, partition: str, epoch: int, seq: int) -> Record | None:
        """The archived event of a position."""
        with _told():
            return await seals.archived(self._pool, partition, epoch, seq)

    async def proof(self, record: Record) -> Proof | None:
        """The proof of an archived event; None if it is not sealed yet."""
        with _told():
            return await seals.prove(self._pool, record)

    async def audits(self) -> list[PartitionAudit]:
        """What the auditor last said of each partition."""
        with _told():
            return await reading.audits(self._pool)

    async def projector_present(self) -> bool:
        """Whether a projector is connected to the tables, as far as can be seen."""
        with _told():
            return await queries.projector_present(self._pool)

    async def missing_events(self) -> dict[str, int]:
        """Partition → how many events were declared to be nowhere."""
        with _told():
            return await queries.missing_events(self._pool)

    async def projection_version(self) -> int:
        """Which version of the projection the tables hold."""
        with _told():
            return await queries.projection_version(self._pool)

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
