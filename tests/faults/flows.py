"""Flows across two queues, to be lost and brought back."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.ids import new_id
from millstream.core.joining import Joiner
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory, Finish, Redrive, new_job
from millstream.projections import queries
from millstream.projections.verify.report import Plan
from millstream.projections.verify.verifying import verify
from tests.invariants import check
from tests.projections.stage import until

from .lost import BY, run

QUEUES = ("a", "b")
FAULT = ev.Fault("E", "no")
FAILED = ev.body_of(ev.JobAttemptFailed(FAULT)), ev.body_of(ev.JobFailed("exhausted"))


class Flows:
    """Two queues, with parents and dependents of each kind from one to the other."""

    def __init__(self, redis: Any, pool: Any) -> None:
        self.redis = redis
        self.pool = pool
        self.keys = Keys()
        self.directory = Directory(redis, self.keys)
        self.joiner = Joiner(self.directory)
        self.jobs: dict[str, str] = {}
        """Label → job."""
        self.failing: set[str] = set()
        self.ran: Counter[str] = Counter()

    async def build(self) -> None:
        for queue in QUEUES:
            await self.directory.register(queue)
            await self.directory.link(queue)
        for queue, other in (("a", "b"), ("b", "a")):
            for policy in ("fail", "cancel", "run", "wait"):
                parent, child = f"{policy} parent in {queue}", f"{policy} child in {other}"
                await self.submit(parent, queue, before=[(child, other, policy)])
                self.failing.add(self.jobs[parent])
                await self.submit(child, other, after=[parent], policy=policy)
            one, two, three = (f"{n} of a chain from {queue}" for n in ("first", "second", "third"))
            await self.submit(one, queue, before=[(two, other, "fail")])
            await self.submit(two, other, after=[one], before=[(three, queue, "fail")])
            await self.submit(three, queue, after=[two], delay_ms=1)
            await self.open(queue, other)

    async def open(self, queue: str, other: str) -> None:
        whole = f"batch in {queue}"
        self.name(whole, queue)
        parts = [f"part {n} in {other} of a {whole}" for n in range(3)]
        for part in parts:
            await self.submit(part, other, before=[(whole, queue, "fail")])
        await self.submit(whole, queue, open=True)
        verbs = self.directory.queue(queue)
        ids = [self.jobs[part] for part in parts]
        assert await verbs.extend(self.jobs[whole], ids, {}) == "extended"
        assert await verbs.extend(self.jobs[whole], [], {}, ev.JobClosed()) == "extended"

    def name(self, label: str, queue: str) -> str:
        return self.jobs.setdefault(label, new_id(queue))

    async def submit(
        self,
        label: str,
        queue: str,
        *,
        after: Sequence[str] = (),
        before: Sequence[tuple[str, str, str]] = (),
        policy: str = "fail",
        **spec: Any,
    ) -> None:
        job = self.name(label, queue)
        parents = [self.jobs[parent] for parent in after]
        if parents or spec.get("open"):
            spec |= {"depends_on": parents, "on_parent_failure": policy}
        told = [self.name(who, where) + "*" * (how == "wait") for who, where, how in before]
        made = new_job(job, ev.JobSubmitted("t", **spec))._replace(before=told)
        await self.directory.queue(queue).submit([made])

    async def work(self) -> bool:
        """Run all that may run now; whether anything did. Nobody is told of ends."""
        found = False
        for name in QUEUES:
            queue = self.directory.queue(name)
            leases = (await queue.claim("w", 100)).leases
            verdicts = [
                Finish(one.id, one.fence, "failed", FAILED[0], 0, FAILED[1])
                if one.id in self.failing
                else Finish(one.id, one.fence, "succeeded", b"{}")
                for one in leases
            ]
            assert all(await queue.finish(verdicts))
            self.ran.update(one.id for one in leases)
            found = found or bool(leases)
        return found

    async def drain(self) -> None:
        """Run all that can go on by itself."""
        await until(self._idle)

    async def _idle(self) -> bool:
        busy = await self.work()
        for name in QUEUES:
            await self.joiner.deliver(name)
        due = sum([await self.redis.zcard(self.keys.due(name)) for name in QUEUES])
        return not busy and not due

    async def drain_to(self, ends: dict[str, str]) -> None:
        """Run all there is until jobs have these states; that may take the linker a second look.

        A look that met a queue which is not restored yet comes to no end, and is repeated later.
        """
        found: dict[str, str] = {}

        async def there() -> bool:
            if await self._idle():
                found.update(await self.states())
            return found == ends

        with contextlib.suppress(TimeoutError):
            await until(there)
        differs = {label: (found.get(label), end) for label, end in ends.items()}
        differs = {label: both for label, both in differs.items() if both[0] != both[1]}
        assert not differs, f"label → got, expected: {differs}"

    async def archived(self) -> None:
        reader = LogReader(self.redis, self.keys)

        async def there() -> bool:
            rows = await self.pool.fetch("SELECT partition, epoch, seq FROM checkpoints")
            found = {row[0]: (row[1], row[2]) for row in rows}
            heads = {name: await reader.head(name) for name in QUEUES}
            return found == {name: (head.epoch, head.seq) for name, head in heads.items()}

        await until(there)

    async def lose(self, settings: Settings, queues: Sequence[str]) -> None:
        for name in queues:
            async for key in self.redis.scan_iter(match=f"{self.keys.base(name)}:*"):
                await self.redis.unlink(key)
        if len(queues) == len(QUEUES):
            await self.redis.flushall()
        report = await run(settings)
        assert {one.partition for one in report.partitions} == set(queues)
        assert [one.unrecoverable for one in report.partitions] == [[]] * len(queues)
        assert all(not one.jobs.unreadable for one in report.partitions)

    async def run_again(self) -> None:
        """Redrive the parents for whose success somebody waits on, and let them succeed."""
        for label, job in self.jobs.items():
            if label.startswith("wait parent"):
                self.failing.discard(job)
                queue = self.directory.queue(label[-1])
                version = await self.pool.fetchval("SELECT version FROM jobs WHERE id = $1", job)
                spec = ev.body_of(ev.JobSubmitted("t"))
                assert await queue.redrive([Redrive(job, 5, version, spec)], BY) == ["queued"]

    async def states(self) -> dict[str, str]:
        await self.archived()
        rows = dict(await self.pool.fetch("SELECT id::text, state FROM jobs"))
        return {label: rows[job] for label, job in self.jobs.items()}


@asynccontextmanager
async def flows(settings: Settings) -> AsyncGenerator[Flows]:
    redis = connect(settings.redis_url, timeout=60)
    pool = await queries.connect(settings)
    try:
        yield Flows(redis, pool)
    finally:
        await pool.close()
        await redis.aclose()


def undisturbed(labels: Sequence[str], *, again: bool) -> dict[str, str]:
    """How each ends; parents of `wait` succeed once they are run `again`, and fail before."""
    ends = {"fail": ("failed", "failed"), "cancel": ("failed", "cancelled"),
            "run": ("failed", "succeeded"),
            "wait": ("succeeded", "succeeded") if again else ("failed", "blocked")}  # fmt: skip
    found: dict[str, str] = {}
    for label in labels:
        policy, role, *_ = label.split()
        found[label] = ends[policy][role == "child"] if policy in ends else "succeeded"
    return found


async def all_ends_well(stage: Flows, settings: Settings) -> None:
    """Work off what is left: each job ends as in an undisturbed run, none ran without cause twice,
    and log, hot state and tables agree."""
    await stage.drain_to(undisturbed(list(stage.jobs), again=False))
    await stage.run_again()
    await stage.drain_to(undisturbed(list(stage.jobs), again=True))
    doubled = {label for label, job in stage.jobs.items() if stage.ran[job] > 1}
    assert doubled == {label for label in stage.jobs if label.startswith("wait parent")}
    report = await check(settings.redis_url, list(QUEUES), drained=True, dsn=settings.postgres_dsn)
    report.require()
    outcome = await verify(settings.postgres_dsn, Plan())
    assert outcome.sound, outcome.findings
