"""Progress that handlers tell: the latest word of each, seldom enough, and only while they run."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.consumers import Backoff, Context, ProgressError, Registry
from millstream.consumers import progress as module
from millstream.consumers.progress import MAX_MESSAGE, progress_of
from millstream.core.embedded import Valkey
from millstream.core.events import Command
from tests.invariants import check

from .conftest import Bench, until

SOON = Backoff(kind="fixed", delay=0.02, jitter=0)


async def told(bench: Bench, job: str) -> list[dict[str, Any]]:
    history = await bench.history(job)
    return [msgspec.json.decode(one.body) for one in history if one.type == "job.progressed"]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)


async def test_what_a_handler_tells_is_an_event(
    bench: Bench, registry: Registry, often: None
) -> None:
    go = asyncio.Event()

    @registry.job("report")
    async def report(ctx: Context, payload: None) -> None:
        ctx.progress(2, 8, message="page 2 of 8")
        await go.wait()

    await bench.worker(registry)
    job = await bench.submit("report")
    await until(lambda: _count(bench, job, 1))
    go.set()
    assert await bench.ended(job) == ["submitted", "started", "progressed", "succeeded"]
    assert await told(bench, job) == [{"value": 0.25, "message": "page 2 of 8"}]
    (await check(bench.url, ["default"])).require()


async def _is_told(bench: Bench, job: str, value: float) -> bool:
    return any(one["value"] == value for one in await told(bench, job))


async def _count(bench: Bench, job: str, least: int) -> bool:
    return len(await told(bench, job)) >= least


async def test_the_latest_word_wins_and_few_are_told(bench: Bench, registry: Registry) -> None:
    """A second between two words: what was told meanwhile is not in the log."""
    go = asyncio.Event()
    began: list[float] = []

    @registry.job("report")
    async def report(ctx: Context, payload: None) -> None:
        began.append(time.monotonic())
        for n in range(1, 1001):
            ctx.progress(n, 1000)
            await asyncio.sleep(0)
        await go.wait()

    await bench.worker(registry)
    job = await bench.submit("report")

    async def through() -> bool:
        return {"value": 1.0} in await told(bench, job)

    await until(through)
    elapsed = time.monotonic() - began[0]
    assert len(await told(bench, job)) <= 2 + elapsed / module.EVERY
    go.set()
    await bench.ended(job)


async def test_the_same_word_again_is_told_once(
    bench: Bench, registry: Registry, often: None
) -> None:
    @registry.job("report")
    async def report(ctx: Context, payload: None) -> None:
        for value in (0.5, 0.5, 0.5, 0.75):
            ctx.progress(value)
            await until(lambda value=value: _is_told(bench, ctx.job_id, value))

    await bench.worker(registry)
    job = await bench.submit("report")
    await bench.ended(job)
    assert await told(bench, job) == [{"value": 0.5}, {"value": 0.75}]


async def test_many_jobs_share_a_call(
    bench: Bench, registry: Registry, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun = asyncio.Event(), list[str]()

    @registry.job("report")
    async def report(ctx: Context, payload: None) -> None:
        begun.append(ctx.job_id)
        if len(begun) == 8:
            go.set()
        await go.wait()
        ctx.progress(0.5)
        await until(lambda: _count(bench, ctx.job_id, 1))

    sizes: list[int] = []
    kept = bench.queue.__class__.progress

    async def counting(self: Any, reports: Any) -> Any:
        sizes.append(len(reports))
        return await kept(self, reports)

    monkeypatch.setattr(bench.queue.__class__, "progress", counting)
    await bench.worker(registry)
    for job in await bench.submit_many("report", [None] * 8):
        await bench.ended(job)
        assert await told(bench, job) == [{"value": 0.5}]
    assert sizes == [8]


async def test_a_handler_in_a_thread_tells_it_in_the_same_words(
    bench: Bench, registry: Registry, often: None
) -> None:
    heard = {0.5: threading.Event(), 0.75: threading.Event()}

    @registry.job("report")
    def report(ctx: Context, payload: None) -> None:
        for value, event in heard.items():
            ctx.progress(value)
            event.wait(60)

    await bench.worker(registry)
    job = await bench.submit("report")
    for value, event in heard.items():
        await until(lambda value=value: _is_told(bench, job, value))
        event.set()
    await bench.ended(job)
    assert await told(bench, job) == [{"value": 0.5}, {"value": 0.75}]


async def test_one_that_is_overtaken_or_cancelled_hears_of_it(
    bench: Bench, registry: Registry, often: None
) -> None:
    """No lease is renewed so soon: it is the answer to its progress that stops it."""
    stopped: list[str] = []

    @registry.job("report")
    async def report(ctx: Context, payload: str) -> None:
        try:
            for n in range(10_000):
                ctx.progress(n, 10_000)
                await asyncio.sleep(0.01)
        finally:
            stopped.append(payload)

    worker = await bench.worker(registry, lease=600.0)
    worker._keeper.stop()  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    job = await bench.submit("report", "cancelled")
    await until(lambda: _count(bench, job, 1))
    await bench.queue.cancel([job], Command("ada", "test"))
    assert (await bench.ended(job))[-1] == "cancelled"
    lost = await bench.submit("report", "overtaken")
    await until(lambda: _count(bench, lost, 1))
    await bench.queue.reap(0, 3)
    await until(lambda: "overtaken" in stopped)
    assert stopped[:2] == ["cancelled", "overtaken"]


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("a number from 0 to 1.0, got 1.01", (1.01,)),
        ("a number from 0 to 1.0, got -0.1", (-0.1,)),
        ("a number from 0 to 5, got 6", (6, 5)),
        ("a number from 0 to 1.0, got nan", (math.nan,)),
        ("a number from 0 to 1.0, got '1'", ("1",)),
        ("a number from 0 to 1.0, got True", (True,)),
        ("a total above 0, got 0", (0, 0)),
        ("a total above 0, got inf", (1, math.inf)),
        ("a total above 0, got nan", (1, math.nan)),
        ("a message of at most 200 printable characters, got 'aaa", (0.5, 1, "a" * 201)),
        ("a message of at most 200 printable characters, got 'a\\nb'", (0.5, 1, "a\nb")),
        ("a message of at most 200 printable characters, got '\\ud800'", (0.5, 1, "\ud800")),
        ("a message of at most 200 printable characters, got 7", (0.5, 1, 7)),
    ],
)
async def test_what_is_no_progress_fails_the_attempt_at_the_call(
    bench: Bench, registry: Registry, fault: str, args: tuple[Any, ...]
) -> None:
    @registry.job("report", max_attempts=1)
    async def report(ctx: Context, payload: None) -> None:
        message = args[2] if len(args) > 2 else ""
        ctx.progress(*args[:2], message=message)

    await bench.worker(registry)
    job = await bench.submit("report", max_attempts=1)
    assert await bench.ended(job) == ["submitted", "started", "attempt_failed", "failed"]
    error = msgspec.json.decode((await bench.history(job))[-2].body)["error"]
    assert error["type"].endswith("ProgressError")
    assert fault in error["message"]


@given(st.integers(1, 10**30), st.data())
def test_any_part_of_a_whole_is_progress(total: int, data: st.DataObject) -> None:
    done = data.draw(st.integers(0, total))
    assert 0 <= progress_of(done, total, "é" * MAX_MESSAGE).value <= 1


@given(st.floats(), st.floats())
def test_numbers_are_progress_or_refused(done: float, total: float) -> None:
    try:
        assert 0 <= progress_of(done, total, "").value <= 1
    except ProgressError:
        assert not (0 <= done <= total and 0 < total < math.inf)


async def test_progress_waits_while_redis_is_away(
    bench: Bench, registry: Registry, valkey_server: Valkey, often: None
) -> None:
    go, asked, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @registry.job("report")
    async def report(ctx: Context, payload: None) -> None:
        asked.set()
        await go.wait()
        ctx.progress(0.5)
        ctx.progress(0.6)
        await back.wait()
        await until(lambda: _is_told(bench, ctx.job_id, 0.6))

    worker = await bench.worker(registry)
    job = await bench.submit("report")
    await asked.wait()
    await until(lambda: worker.slots.taken == 1)
    await asyncio.to_thread(valkey_server.stop)
    go.set()
    teller = worker._durable.progress  # pyright: ignore[reportPrivateUsage]
    await until(lambda: teller._awake)  # pyright: ignore[reportPrivateUsage]
    await asyncio.to_thread(valkey_server.start)
    back.set()
    assert (await bench.ended(job)) == ["submitted", "started", "progressed", "succeeded"]
    (await check(bench.url, ["default"])).require()


async def test_a_new_attempt_begins_anew(bench: Bench, registry: Registry, often: None) -> None:
    @registry.job("report", backoff=SOON)
    async def report(ctx: Context, payload: None) -> None:
        ctx.progress(0.5)
        await until(lambda: _count(bench, ctx.job_id, ctx.attempt))
        if ctx.attempt == 1:
            raise ConnectionError("not yet")

    await bench.worker(registry)
    job = await bench.submit("report")
    assert await bench.ended(job) == [
        "submitted", "started", "progressed", "attempt_failed", "queued", "started", "progressed",
        "succeeded",
    ]  # fmt: skip
