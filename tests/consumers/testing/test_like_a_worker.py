"""What happens in a sandbox is what happens in a worker: the same events, in the same order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millstream.consumers import Backoff, Context, Fail, Registry, Retry, Snooze
from millstream.consumers.testing import Sandbox
from millstream.core.unique import Unique
from tests.consumers.conftest import Bench

SOON = 0.02
WAYS = ("returns", "raises", "fails", "snoozes", "retries", "steps", "sleeps", "bad", "submits")
LIKE_IT = Unique(key="one")


def ways() -> Registry:
    """A handler that goes each of the ways, on the loop and in a thread."""
    registry = Registry()
    soon = Backoff(kind="fixed", delay=SOON, jitter=0)
    snoozed: set[str] = set()

    @registry.job("async", max_attempts=2, backoff=soon)
    async def on_loop(ctx: Context, way: str) -> Any:
        if way == "steps":
            first = await ctx.step("a", lambda: 1)
            return first + await ctx.step("b", lambda: 2)
        if way == "sleeps":
            await ctx.sleep(SOON)
        if way == "submits":
            await ctx.submit("noop", delay=60, unique=LIKE_IT)
            await ctx.submit("noop", delay=60, unique=LIKE_IT)
        return other(ctx, way)

    @registry.job("plain", max_attempts=2, backoff=soon)
    def in_thread(ctx: Context, way: str) -> Any:
        if way == "steps":
            first = ctx.sync.step("a", lambda: 1)
            return first + ctx.sync.step("b", lambda: 2)
        if way == "sleeps":
            ctx.sync.sleep(SOON)
        if way == "submits":
            ctx.sync.submit("noop", delay=60, unique=LIKE_IT)
            ctx.sync.submit("noop", delay=60, unique=LIKE_IT)
        return other(ctx, way)

    def other(ctx: Context, way: str) -> Any:
        if way == "raises":
            raise ValueError("no")
        if way == "fails":
            raise Fail("never")
        if way == "bad":
            return object()
        if way == "snoozes" and ctx.job_id not in snoozed:
            snoozed.add(ctx.job_id)
            raise Snooze(SOON)
        if way == "retries" and ctx.attempt == 1:
            raise Retry(after=SOON)
        return way

    @registry.job("noop")
    async def noop(ctx: Context, payload: Any) -> None:
        pass

    return registry


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_every_way_a_job_can_go(bench: Bench, kind: str) -> None:
    await bench.worker(ways())
    in_worker: dict[str, tuple[list[str], Any]] = {}
    for way in WAYS:
        job = await bench.submit(kind, way, max_attempts=2)
        story = await bench.ended(job)
        in_worker[way] = story, (await bench.last(job)).get("result", {}).get("data")
    async with Sandbox(ways()) as box:
        for way in WAYS:
            job = await box.submit(kind, way)
            await box.advance(seconds=1)
            seen = box.job(job)
            assert (way, (seen.story, seen.result)) == (way, in_worker[way])


def family() -> Registry:
    """A handler that submits a flow; once all of it is there, the first job fails."""
    registry, all_there = Registry(), asyncio.Event()

    @registry.job("flow")
    async def flow(ctx: Context, payload: Any) -> list[str]:
        bad, good = await ctx.submit("part", "bad"), await ctx.submit("part", "good")
        ends = [
            await ctx.submit("end", policy, depends_on=[bad, good], on_parent_failure=policy)
            for policy in ("fail", "cancel", "run")
        ]
        after = await ctx.submit("end", "after", depends_on=[good, ends[2]], delay=SOON)
        never = await ctx.submit("end", "never", depends_on=[ends[0]])
        all_there.set()
        return [bad, good, *ends, after, never]

    @registry.job("part", max_attempts=1)
    async def part(ctx: Context, word: str) -> None:
        await all_there.wait()
        if word == "bad":
            raise Fail("it is bad")

    @registry.job("end")
    async def end(ctx: Context, word: str) -> None: ...

    return registry


async def test_a_flow(bench: Bench) -> None:
    await bench.worker(family())
    flow = await bench.submit("flow")
    await bench.ended(flow)
    jobs = (await bench.last(flow))["result"]["data"]
    in_worker = [await bench.ended(job) for job in jobs]
    async with Sandbox(family(), strict=True) as box:
        flow = await box.submit("flow")
        await box.advance(seconds=1)
        assert [box.job(job).story for job in box.job(flow).result] == in_worker
