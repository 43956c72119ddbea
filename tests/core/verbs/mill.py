"""One partition on a real server, with short words for what tests do to it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from millstream.consumers.testing.moving import Mover
from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.connection import connect, connect_sync
from millstream.core.hot import HotJob, Lease
from millstream.core.ids import new_ids
from millstream.core.keys import Keys
from millstream.core.queue import Directory, Finish, PartitionQueue, Redrive, Verdict
from millstream.core.renewing import LeaseRenewer
from millstream.core.schedule_index import Schedules
from millstream.core.submitting import NewJob, Receipt, Stand, new_job
from tests.invariants import Report, check, read_log

FAULT = ev.Fault("ValueError", "no such file")
ADA = ev.Command("ada", "test")

BODIES: dict[Verdict, ev.Event] = {
    "succeeded": ev.JobSucceeded(wrap("done")),
    "retry": ev.JobAttemptFailed(FAULT, 0),
    "failed": ev.JobAttemptFailed(FAULT),
    "snoozed": ev.JobSnoozed(0),
    "released": ev.JobReleased("drain"),
    "cancelled": ev.JobCancelled("w1", "it was asked for"),
    "crashed": ev.JobCrashed("w1", 1, "killed by SIGSEGV"),
}


def verdict_on(
    lease: Lease, verdict: Verdict, *, delay_ms: int = 0, fence: int | None = None
) -> Finish:
    """A verdict with a body that fits it."""
    event = BODIES[verdict]
    if delay_ms and isinstance(event, ev.JobAttemptFailed):
        event = ev.JobAttemptFailed(FAULT, delay_ms)
    elif isinstance(event, ev.JobSnoozed):
        event = ev.JobSnoozed(delay_ms)
    elif isinstance(event, ev.JobReleased):
        event = ev.JobReleased("drain", delay_ms)
    elif isinstance(event, ev.JobCrashed):
        event = ev.JobCrashed("w1", lease.crashes + 1, "killed by SIGSEGV", delay_ms)
    end = ev.body_of(ev.JobFailed("exhausted")) if verdict == "failed" else b""
    fence = lease.fence if fence is None else fence
    return Finish(lease.id, fence, verdict, ev.body_of(event), delay_ms, end)


def spec_record(history: Sequence[ev.Record]) -> ev.Record:
    """The event of a job's history that gave it the spec it has."""
    return [one for one in history if one.type in ("job.submitted", "job.replaced")][-1]


class Mill:
    """The verbs of partition `default`, and what became of its jobs.

    `accepted` are the jobs whose submission was answered; `broken` names the invariants that a
    test broke on purpose.
    """

    partition = "default"

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = Keys()
        self.redis: Any = connect(url, timeout=30)
        self.queue: PartitionQueue = PartitionQueue(self.redis, self.partition, self.keys)
        self.directory = Directory(self.redis, self.keys)
        self.accepted: list[str] = []
        self.broken: set[str] = set()

    async def close(self) -> Report:
        """Audit everything and close the client."""
        await self.redis.aclose()
        return await check(self.url, [self.partition], acknowledged=self.accepted)

    async def submit_many(self, count: int, command: str | None = None, **spec: Any) -> Receipt:
        """Submit `count` equal jobs in one call; their ids are the last of `accepted`."""
        fields: dict[str, Any] = {"type": "noop", **spec}
        made = ev.JobSubmitted(**fields)
        jobs = [new_job(id, made) for id in new_ids(self.partition, count)]
        return (await self.send(jobs, command))[0]

    async def send(
        self, jobs: Sequence[NewJob], command: str | None = None
    ) -> tuple[Receipt, list[Stand]]:
        """Submit jobs; what became of each."""
        receipt = await self.queue.submit(jobs, command)
        stands = receipt.stands([job.id for job in jobs])
        if not receipt.again:
            self.accepted += [stand.id for stand in stands if stand.duplicate is None]
        return receipt, stands

    async def submit(self, count: int = 1, **spec: Any) -> list[str]:
        """Submit `count` equal jobs; their ids."""
        await self.submit_many(count, **spec)
        return self.accepted[-count:]

    async def claim(
        self, limit: int = 100, worker: str = "w1", *, held: bool = False
    ) -> list[Lease]:
        return (await self.queue.claim(worker, limit, held=held)).leases

    async def started(self, **spec: Any) -> Lease:
        """The lease of one new job."""
        (job,) = await self.submit(**spec)
        (lease,) = await self.claim(1)
        assert lease.id == job
        return lease

    async def finish(self, lease: Lease, verdict: Verdict, **how: Any) -> bool:
        (accepted,) = await self.queue.finish([verdict_on(lease, verdict, **how)])
        return accepted

    async def expire(self, max_crashes: int = 3, limit: int = 200) -> tuple[int, bool]:
        """Reap every lease, as if none had been renewed for ever."""
        return await self.queue.reap(0, max_crashes, limit)

    async def cancel(self, *ids: str) -> list[str]:
        return await self.queue.cancel(ids, ADA)

    async def redrive(self, job: str, version: int, priority: int = 5) -> str:
        history = await self.log(job)
        spec = spec_record(history).body if history else ev.body_of(ev.JobSubmitted("noop"))
        (reply,) = await self.queue.redrive([Redrive(job, priority, version, spec)], ADA)
        return reply

    async def discard(self, job: str, version: int, command: str = "") -> str:
        by = ev.JobDiscarded(ADA.actor, ADA.reason, command)
        (reply,) = await self.queue.discard([(job, version)], by)
        return reply

    @contextmanager
    def renewer(self, worker: str = "w1") -> Generator[LeaseRenewer]:
        """What a lease thread of that worker has."""
        with connect_sync(self.url, timeout=30) as client:
            yield LeaseRenewer(client, self.keys, worker)

    def schedules(self) -> Schedules:
        """The schedules of all partitions."""
        return Schedules(self.redis, self.keys, self.directory)

    async def schedule_comes(self, name: str, at: int) -> None:
        """Let the next occurrence of a schedule be another one."""
        keys, partition = self.keys, self.partition
        await self.redis.hset(keys.schedule(partition, name), mapping={"next": at, "due": at})
        await self.redis.zadd(keys.schedule_due(partition), {name: at})

    async def consumers(self) -> set[str]:
        """The workers the group of the usual lane knows."""
        lane = self.keys.ready(self.partition, 5)
        found = await self.redis.xinfo_consumers(lane, "workers")
        return {one["name"].decode() for one in found}

    async def log(self, job: str | None = None) -> list[ev.Record]:
        """All records, or those of one job."""
        records = await read_log(self.redis, self.keys, self.partition)
        return [one for one in records if job is None or one.job == job]

    async def story(self, job: str) -> list[str]:
        """What happened to a job: names of its events, without the leading ``job.``."""
        return [one.type.removeprefix("job.") for one in await self.log(job)]

    async def hot(self, job: str) -> HotJob:
        found = await self.queue.job(job)
        assert found is not None, f"expected job {job} to live"
        return found

    async def lives(self, job: str) -> bool:
        return await self.queue.job(job) is not None

    async def bell(self) -> int:
        return await self.redis.llen(self.keys.bell(self.partition))

    async def mute(self) -> None:
        """Take the bell's token away."""
        await self.redis.delete(self.keys.bell(self.partition))

    async def now(self) -> int:
        """The server's clock, ms."""
        seconds, micros = await self.redis.time()
        return seconds * 1000 + micros // 1000

    async def let_pass(self, ms: int) -> None:
        """Let so much time pass for all jobs there are, however long the test takes itself."""
        await Mover(self.redis, self.keys).move(self.partition, ms)

    async def register(self) -> None:
        """Make the partition known, so that ends are brought to its jobs."""
        await self.directory.register(self.partition)

    async def awaited(self, job: str) -> set[str]:
        """Who waits for a job, with a `*` behind who does so also once it did not succeed."""
        found = await self.redis.smembers(self.keys.awaited(self.partition, job))
        return {member.decode() for member in found}

    async def parents(self, job: str) -> set[str]:
        """The jobs that one waits for still."""
        found = await self.redis.smembers(self.keys.parents(self.partition, job))
        return {member.decode() for member in found}

    async def dependents(self) -> set[str]:
        """All jobs that wait for others."""
        found = await self.redis.zrange(self.keys.dependents(self.partition), 0, -1)
        return {job.decode() for job in found}

    async def lose_joiners(self) -> None:
        """Lose who was given what of the outbox."""
        await self.redis.xgroup_destroy(self.keys.outbox(self.partition), "joiners")

    async def lose_group(self, priority: int = 5) -> None:
        await self.redis.xgroup_destroy(self.keys.ready(self.partition, priority), "workers")

    async def lose_log(self) -> None:
        """Lose the log; what no audit can hold against the verbs afterwards is noted."""
        await self.redis.delete(self.keys.log(self.partition))
        self.accepted.clear()
        self.broken |= {"head-differs", "hot-orphan", "ready-orphan", "due-orphan"}
