"""Jobs that handlers submit: the same place in the same job gives the same job."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millstream.consumers import Backoff, Context, Registry
from millstream.core.codec import wrap
from millstream.core.events import Command, JobSubmitted
from millstream.core.ids import new_id
from millstream.core.queue import PartitionQueue, Redrive, new_job
from millstream.core.stepping import Kept
from tests.invariants import check

from .conftest import Bench, until
from .stepping import SOON
from .submitting import Mail, made, spec_of


async def test_a_retry_submits_nothing_twice(bench: Bench, registry: Registry) -> None:
    got: list[list[str]] = []

    @registry.job("mail", queue="mails", max_attempts=7)
    async def mail(ctx: Context, payload: Mail) -> None:
        pass

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        got.append([])
        for to in ("ada", "bob"):
            got[-1].append(await ctx.submit("mail", Mail(to)))
        got[-1].append(await ctx.submit("mail", {"to": "eve"}, name="for eve", queue="others"))
        if ctx.attempt < 3:
            raise ConnectionError("not yet")

    await bench.worker(registry)
    assert (await bench.ended(await bench.submit("order")))[-1] == "succeeded"
    assert len(got) == 3
    assert got[0] == got[1] == got[2]
    assert len(set(got[0])) == 3
    assert await made(bench, "mails") == got[0][:2]
    assert await made(bench, "others") == got[0][2:]
    spec = await spec_of(bench, got[0][0], "mails")
    assert (spec["payload"]["data"], spec["max_attempts"]) == ({"to": "ada"}, 7)
    await bench.ended(got[0][0], queue="mails")
    (await check(bench.url, ["default", "mails", "others"])).require()


async def test_a_crash_between_the_job_and_its_step_submits_nothing_twice(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the job is made, and the one that made it dies before it is noted."""
    got: list[str] = []
    stuck = asyncio.Event()
    checkpoint = PartitionQueue.checkpoint

    async def never(self: PartitionQueue, steps: Any) -> list[Kept]:
        stuck.set()
        await asyncio.sleep(60)
        raise AssertionError

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        got.append(await ctx.submit("mail", 1, queue="mails"))

    monkeypatch.setattr(PartitionQueue, "checkpoint", never)
    first = await bench.worker(registry, unknown_types="accept")
    job = await bench.submit("order")
    await stuck.wait()
    await first.close()
    monkeypatch.setattr(PartitionQueue, "checkpoint", checkpoint)
    await bench.queue.reap(0, 9)
    await bench.worker(registry, unknown_types="accept")
    assert (await bench.ended(job))[-2:] == ["checkpointed", "succeeded"]
    assert await made(bench, "mails") == got


async def test_the_same_place_in_another_job_is_another_job(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        return await ctx.submit("mail", 1, queue="mails")

    await bench.worker(registry, unknown_types="accept")
    for job in await bench.submit_many("order", [None] * 5):
        await bench.ended(job)
    assert len(set(await made(bench, "mails"))) == 5


async def test_a_redriven_job_names_the_job_it_submitted_before(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.submit("mail", 1, queue="mails")
        raise ConnectionError("no")

    await bench.worker(registry, unknown_types="accept")
    job = await bench.submit("order", max_attempts=1)
    await bench.ended(job)
    history = await bench.history(job)
    redrive = Redrive(job, 5, history[-1].version, history[0].body)
    assert await bench.queue.redrive([redrive], Command("ada")) == ["queued"]

    async def twice() -> bool:
        return (await bench.types(job)).count("failed") == 2

    await until(twice)
    assert (await bench.types(job)).count("checkpointed") == 2, "steps are done afresh"
    assert len(await made(bench, "mails")) == 1


async def test_a_replaced_job_submits_anew(bench: Bench, registry: Registry) -> None:
    @registry.job("order", backoff=Backoff(kind="fixed", delay=600, jitter=0))
    async def order(ctx: Context, payload: int) -> None:
        await ctx.submit("mail", payload, queue="mails")
        if payload == 1:
            raise ConnectionError("no")

    def submission(payload: int) -> Any:
        spec = JobSubmitted("order", lock="ab12", lock_scope="unfinished", payload=wrap(payload))
        return new_job(new_id("default"), spec)._replace(policy="replace")

    await bench.worker(registry, unknown_types="accept")
    first = submission(1)
    await bench.queue.submit([first])

    async def retrying() -> bool:
        return (await bench.types(first.id))[-1] == "attempt_failed"

    await until(retrying)
    await bench.queue.submit([submission(2)])
    assert (await bench.ended(first.id))[-1] == "succeeded"
    assert len(await made(bench, "mails")) == 2


async def test_options_are_those_of_the_api(bench: Bench, registry: Registry) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> list[str]:
        return [
            await ctx.submit(
                "mail", priority=2, delay=timedelta(minutes=1), max_attempts=3, timeout=30,
                backoff=Backoff(kind="fixed", delay=2), tags=("a", "b", "a"),
                metadata={"tenant": "7"}, concurrency_key="k", rate_key="r",
            ),
            await ctx.submit("mail", run_at=at, expires_at=at + timedelta(hours=1)),
            await ctx.submit("mail", run_at=datetime(2020, 1, 1, tzinfo=UTC)),
            await ctx.submit("mail", 1, unique={"key": "x"}),
            await ctx.submit("mail", 2, unique={"key": "x"}),
        ]  # fmt: skip

    await bench.worker(registry, unknown_types="accept", queues=("default",))
    job = await bench.submit("order")
    await bench.ended(job)
    first, later, past, one, other = (await bench.last(job))["result"]["data"]
    spec = await spec_of(bench, first)
    assert spec == {
        "type": "mail", "concurrency_key": "k", "rate_key": "r",
        "payload": {"data": None, "codec": "json"}, "priority": 2, "max_attempts": 3,
        "backoff": {"kind": "fixed", "delay": 2.0}, "timeout_ms": 30_000, "delay_ms": 60_000,
        "tags": ["a", "b"], "metadata": {"tenant": "7"},
    }  # fmt: skip
    spec = await spec_of(bench, later)
    assert spec["run_at"] == round(at.timestamp() * 1000)
    assert spec["expires_at"] - spec["run_at"] == 3_600_000
    assert "run_at" not in await spec_of(bench, past)
    assert one == other
    (await check(bench.url, ["default"])).require()


async def test_a_stale_worker_cannot_double_a_job(bench: Bench, registry: Registry) -> None:
    """Two attempts at once, the older one overtaken: both are given the same job."""
    go, begun = asyncio.Event(), asyncio.Event()
    got: list[str] = []

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        if not begun.is_set():
            begun.set()
            await go.wait()
        try:
            await ctx.submit("mail", queue="mails")
        finally:
            got.append("over")

    first = await bench.worker(registry, unknown_types="accept", lease=30.0, sweep=60.0)
    job = await bench.submit("order")
    await begun.wait()
    await bench.queue.reap(0, 9)
    await bench.worker(registry, unknown_types="accept")
    assert (await bench.ended(job))[-1] == "succeeded"
    go.set()
    await until(lambda: len(got) == 2 and not first.slots.held)
    assert len(await made(bench, "mails")) == 1


async def test_a_job_that_waits_for_others_it_submitted(bench: Bench, registry: Registry) -> None:
    ran: list[str] = []

    @registry.job("page", queue="pages")
    async def page(ctx: Context, number: int) -> None:
        ran.append(f"page {number}")
        if number == 2:
            raise ValueError("no such page")

    @registry.job("merge")
    async def merge(ctx: Context, payload: None) -> None:
        ran.append("merge")

    @registry.job("book", backoff=SOON)
    async def book(ctx: Context, payload: None) -> str:
        pages = [await ctx.submit("page", n, max_attempts=1, delay=0.2) for n in range(3)]
        merged = await ctx.submit("merge", depends_on=pages, on_parent_failure="run")
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return merged

    await bench.worker(registry)
    job = await bench.submit("book")
    assert (await bench.ended(job))[-1] == "succeeded"
    merged = (await bench.last(job))["result"]["data"]
    assert await made(bench, type="merge") == [merged]
    assert await bench.ended(merged) == ["submitted", "joined", "started", "succeeded"]
    assert sorted(ran[:3]) == ["page 0", "page 1", "page 2"]
    assert ran[3:] == ["merge"]
