"""Verbs in any order, by workers that are late, forgetful and wrong: an audit finds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.core.codec import wrap
from millstream.core.errors import GroupLost, QueueDraining
from millstream.core.events import (
    JobCheckpointed,
    JobClosed,
    JobProgressed,
    JobSubmitted,
    QueueConfigured,
)
from millstream.core.hot import Lease
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.linking import POLICIES, Outcome
from millstream.core.operating import PURGEABLE, Mode
from millstream.core.progressing import new_told
from millstream.core.queue import Verdict
from millstream.core.stepping import new_checkpoint
from millstream.core.submitting import Policy, Scope, new_job
from millstream.core.upcast import decode
from tests.invariants import check

from .mill import ADA, Mill, spec_record, verdict_on

WORKERS = ("w1", "w2", "w3")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

numbers = st.integers(0, 99)
priorities = st.integers(0, 9)
few = st.integers(1, 5)
workers = st.sampled_from(WORKERS)
keys = st.sampled_from((None, "a", "b"))
FIELDS = ("c", "ck", "c:noop", "ck:noop", "r:noop", "rk", "aging")
verdicts = st.lists(st.tuples(numbers, st.sampled_from(VERDICTS)), max_size=5)


def step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


# Some stand here twice: most of a life is claim and finish.
steps = st.one_of(
    step("submit", few, priorities, st.sampled_from((None, 0, 60_000)), keys),
    step("submit", few, st.just(5), st.none(), keys),
    step("submit_expired", priorities),
    step(
        "submit_unique",
        st.lists(
            st.tuples(
                st.sampled_from(("aa", "bb")),
                st.sampled_from(get_args(Scope)),
                st.sampled_from(get_args(Policy)),
                priorities,
                st.sampled_from((None, None, 0, 60_000)),
            ),
            min_size=1,
            max_size=3,
        ),
    ),
    step("claim", workers, few, st.just(False)),
    step("claim", workers, few, st.just(False)),
    step("claim", workers, few, st.just(True)),
    step("finish", verdicts),
    step("finish", verdicts),
    step("checkpoint", st.lists(st.tuples(numbers, st.sampled_from("abc")), max_size=3)),
    step("progress", st.lists(st.tuples(numbers, st.floats(0, 1)), max_size=3)),
    step("cancel", st.lists(numbers, max_size=3)),
    step("expire", st.integers(1, 3), few),
    step("promote", few),
    step("redrive", numbers, st.integers(0, 1)),
    step("reschedule", st.lists(numbers, max_size=3), st.sampled_from(("+0", "+60000"))),
    step("purge", st.sets(st.sampled_from(sorted(PURGEABLE)), min_size=1), few),
    step("set_mode", st.sampled_from(("open", "paused", "draining"))),
    step("lose_group", priorities),
    step("flush_scripts"),
    step(
        "submit_dependent",
        st.lists(numbers, min_size=1, max_size=3),
        st.sampled_from(POLICIES),
        st.sampled_from((None, None, 60_000)),
        st.booleans(),
    ),
    step("add", numbers, few, st.booleans()),
    step("tell", few, st.integers(0, 3)),
    step("tell", few, st.just(0)),
    step("limit", st.sampled_from(FIELDS), st.sampled_from(("", "1", "2", "5"))),
)


@dataclass
class Play:
    """Every lease ever given, stale ones too: verdicts are on any of them."""

    mill: Mill
    leases: list[Lease] = field(default_factory=list)
    accepted: set[tuple[str, int]] = field(default_factory=set)
    open: list[str] = field(default_factory=list)

    async def do(self, one: tuple[Any, ...]) -> None:
        name, *args = one
        action: Callable[..., Awaitable[None]] = getattr(self, name)
        try:
            await action(*args)
        except GroupLost:
            await self.mill.queue.mend()
        except QueueDraining:
            await self.mill.queue.set_mode("open", ADA)

    async def submit(
        self, count: int, priority: int, delay_ms: int | None, key: str | None
    ) -> None:
        await self.mill.submit(
            count,
            priority=priority,
            delay_ms=delay_ms,
            max_attempts=99,
            concurrency_key=key,
            rate_key=key,
        )

    async def submit_dependent(
        self, picks: list[int], policy: str, delay_ms: int | None, open: bool
    ) -> None:
        """A job that waits for some there are, or were; as who reads the archive submits it."""
        jobs = self.mill.accepted
        if not jobs:
            return
        parents = list(dict.fromkeys(jobs[at % len(jobs)] for at in picks))
        child = new_id("default")
        ended = await self._watched(child, parents, policy)
        spec = JobSubmitted(
            "noop", on_parent_failure=policy, depends_on=parents, delay_ms=delay_ms, open=open,
            max_attempts=99,
        )  # fmt: skip
        await self.mill.send([new_job(child, spec)._replace(ended=ended)])
        if open:
            self.open.append(child)

    async def _watched(self, child: str, parents: list[str], policy: str) -> dict[str, str]:
        mark = "*" if policy == "wait" else ""
        pairs = [(parent, child + mark) for parent in parents]
        lives = await self.mill.queue.watch(pairs)
        ended: dict[str, str] = {}
        for pair, reply in zip(pairs, lives, strict=True):
            if reply == "gone":
                ended[pair[0]] = (await self.mill.story(pair[0]))[-1]
                if policy == "wait" and ended[pair[0]] in ("failed", "cancelled"):
                    await self.mill.queue.watch([pair], ended=True)
        return ended

    async def add(self, at: int, count: int, close: bool) -> None:
        """Add jobs to an open one; what it is told is told twice."""
        if not self.open:
            return
        job = self.open[at % len(self.open)]
        made = [
            new_job(new_id("default"), JobSubmitted("noop", max_attempts=99))._replace(before=[job])
            for _ in range(count)
        ]
        await self.mill.send(made)
        ids = [one.id for one in made]
        by = JobClosed("ada") if close else None
        replies = [await self.mill.queue.extend(job, ids, {}, by) for _ in range(2)]
        assert replies[0] == replies[1] or close

    async def tell(self, count: int, death: int) -> None:
        """Tell of ends, by somebody who may die after any step of it: 1 to 3."""
        ended = await self.mill.queue.collect(count, 0 if death else 1)
        if not ended or death == 1:
            return
        news: dict[str, list[tuple[str, Outcome]]] = {}
        for one in ended:
            for job in one.dependents:
                news.setdefault(job, []).extend(one.jobs)
        await self.mill.queue.join(news)
        if death != 2:
            await self.mill.queue.settle([one.entry for one in ended])

    async def limit(self, field: str, bound: str) -> None:
        if bound and field.startswith("r"):
            bound = f"{bound}00 {bound} {{}}"  # µs: some wait, all are soon let in
        await self.mill.queue.configure(QueueConfigured("ada"), {field: bound})

    async def submit_expired(self, priority: int) -> None:
        await self.mill.submit(priority=priority, expires_at=await self.mill.now() - 1)

    async def submit_unique(self, jobs: list[tuple[str, Scope, Policy, int, int | None]]) -> None:
        """Jobs that may be one, or one that is there; scopes of a key are mixed, as they may be."""
        batch = [
            new_job(
                new_id("default"),
                JobSubmitted(
                    "noop", lock=lock, lock_scope=scope, lock_ms=60_000, priority=priority,
                    delay_ms=delay_ms, max_attempts=99,
                ),
            )._replace(policy=policy)
            for lock, scope, policy, priority, delay_ms in jobs
        ]  # fmt: skip
        _, stands = await self.mill.send(batch)
        known = set(self.mill.accepted)
        assert all(stand.id in known for stand in stands)

    async def claim(self, worker: str, limit: int, held: bool) -> None:
        self.leases += await self.mill.claim(limit, worker, held=held)

    async def finish(self, picks: list[tuple[int, Verdict]]) -> None:
        if not self.leases:
            return
        batch = [
            verdict_on(self.leases[at % len(self.leases)], verdict, delay_ms=60_000 * (at % 2))
            for at, verdict in picks
        ]
        for verdict, good in zip(batch, await self.mill.queue.finish(batch), strict=True):
            lease = verdict.id, verdict.fence
            assert not (good and lease in self.accepted), "a lease was good for two verdicts"
            if good:
                self.accepted.add(lease)

    async def checkpoint(self, picks: list[tuple[int, str]]) -> None:
        """Steps of any lease, stale ones too; some of them again."""
        if self.leases:
            leases = [self.leases[at % len(self.leases)] for at, _ in picks]
            await self.mill.queue.checkpoint(
                [
                    new_checkpoint(lease.id, lease.fence, JobCheckpointed(name, wrap(lease.fence)))
                    for lease, (_, name) in zip(leases, picks, strict=True)
                ]
            )

    async def progress(self, picks: list[tuple[int, float]]) -> None:
        """How far jobs of any lease have come, stale ones too."""
        if self.leases:
            leases = [self.leases[at % len(self.leases)] for at, _ in picks]
            await self.mill.queue.progress(
                [
                    new_told(lease.id, lease.fence, JobProgressed(value))
                    for lease, (_, value) in zip(leases, picks, strict=True)
                ]
            )

    async def cancel(self, picks: list[int]) -> None:
        jobs = self.mill.accepted
        if jobs:
            await self.mill.cancel(*(jobs[at % len(jobs)] for at in picks))

    async def expire(self, max_crashes: int, limit: int) -> None:
        await self.mill.expire(max_crashes, limit)

    async def promote(self, limit: int) -> None:
        await self.mill.queue.promote(limit)

    async def redrive(self, at: int, behind: int) -> None:
        """Redrive a job as somebody would who read the archive, perhaps an older state of it."""
        if not self.mill.accepted:
            return
        job = self.mill.accepted[at % len(self.mill.accepted)]
        history = await self.mill.log(job)
        ends = [
            one.version
            for one in history
            if one.type in ("job.succeeded", "job.failed", "job.cancelled")
        ]
        if len(ends) > behind:
            spec = decode(spec_record(history))
            assert isinstance(spec, JobSubmitted)
            await self.mill.redrive(job, ends[-1 - behind], spec.priority)

    async def reschedule(self, picks: list[int], due: str) -> None:
        jobs = self.mill.accepted
        if jobs:
            await self.mill.queue.reschedule([jobs[at % len(jobs)] for at in picks], due, ADA)

    async def purge(self, states: set[JobState], limit: int) -> None:
        """One call, and often not the last of its purge."""
        cursor, _ = await self.mill.queue.purge(ADA, "", states, limit)
        if cursor:
            await self.mill.queue.purge(ADA, cursor, states, limit)

    async def set_mode(self, mode: Mode) -> None:
        await self.mill.queue.set_mode(mode, ADA)

    async def lose_group(self, priority: int) -> None:
        stream = self.mill.keys.ready("default", priority)
        if await self.mill.redis.exists(stream):
            await self.mill.lose_group(priority)
            await self.mill.queue.mend()

    async def flush_scripts(self) -> None:
        await self.mill.redis.script_flush()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(steps, min_size=5, max_size=40))
async def test_any_order(redis_url: str, script: list[tuple[Any, ...]]) -> None:
    mill = Mill(redis_url)
    await mill.redis.flushdb()
    play = Play(mill)
    try:
        for one in script:
            await play.do(one)
        (await check(redis_url, ["default"], acknowledged=mill.accepted)).require()
        await _drain(play)
        (await check(redis_url, ["default"], acknowledged=mill.accepted, drained=True)).require()
    finally:
        await mill.redis.aclose()


async def _drain(play: Play) -> None:
    """End everything: whoever still holds a lease is gone, what waits for a time is cancelled."""
    mill = play.mill
    await mill.queue.set_mode("open", ADA)
    while (await mill.expire(max_crashes=99))[1]:
        pass
    while leases := await mill.claim(1000):
        verdicts = [verdict_on(lease, "succeeded") for lease in leases]
        assert all(await mill.queue.finish(verdicts))
    await mill.cancel(*mill.accepted)
    while await mill.queue.outbox():
        await asyncio.sleep(0.002)
        await play.tell(100, 0)
