"""Crashes in the sandbox, as those of workers."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.consumers import Context, Registry
from millstream.consumers.testing import SandboxError

from .conftest import Box
from .greetings import greeting


async def test_a_crash_between_two_steps(sandbox: Box, registry: Registry) -> None:
    calls: list[str] = []

    @registry.job("order")
    async def order(ctx: Context, payload: Any) -> str:
        await ctx.step("charge", lambda: calls.append("charge"))
        await ctx.step("pack", lambda: calls.append("pack"))
        return f"crashes: {ctx.crashes}"

    async with sandbox(registry) as box:
        job = await box.submit("order")
        box.crash(job, after="charge")
        await box.run()
        assert (box.job(job).state, calls) == ("running", ["charge"])
        await box.advance(seconds=15)  # on a server real time passes, too
        assert box.job(job).state == "running"
        await box.advance(seconds=16)
        assert (box.job(job).result, calls) == ("crashes: 1", ["charge", "pack"])
        assert box.job(job).story[-4:] == ["lease_expired", "started", "checkpointed", "succeeded"]


async def test_a_crash_in_a_thread(sandbox: Box, registry: Registry) -> None:
    calls: list[str] = []

    @registry.job("order")
    def order(ctx: Context, payload: Any) -> None:
        ctx.sync.step("charge", lambda: calls.append("charge"))
        ctx.sync.step("pack", lambda: calls.append("pack"))

    async with sandbox(registry) as box:
        job = await box.submit("order")
        box.crash(job, after="charge")
        await box.run()
        assert calls == ["charge"]
        await box.advance(minutes=1)
        assert (box.job(job).state, calls) == ("succeeded", ["charge", "pack"])


async def test_a_job_that_kills_its_workers_is_poison(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry, max_crashes=2, lease=10) as box:
        job = await box.submit("greet", {"name": "a"})
        box.crash(job)
        await box.run()
        box.crash(job)
        await box.advance(seconds=11)
        assert box.job(job).story[-2:] == ["lease_expired", "started"]
        await box.advance(seconds=11)
        assert (box.job(job).state, box.job(job).crashes) == ("failed", 2)


async def test_a_crash_after_a_step_that_is_never_done_fails_the_test(
    sandbox: Box, registry: Registry
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: Any) -> None:
        await ctx.step("charge", lambda: None)
        await ctx.step("pack", lambda: None)

    wrong = r"crash\(after='chrage'\) of job .* \(order, succeeded\): expected it to keep step"
    async with sandbox(registry) as box:
        job = await box.submit("order")
        box.crash(job, after="chrage")
        with pytest.raises(SandboxError, match=f"{wrong}.*; its steps: 'charge', 'pack'"):
            await box.run()
        await box.run()
        box.crash(await box.submit("order", delay=60), after="none")
        with pytest.raises(SandboxError, match="it never did"):
            await box.advance(minutes=2)


async def test_a_crash_that_had_not_come_when_the_sandbox_ends_fails_the_test(
    sandbox: Box, registry: Registry
) -> None:
    greeting(registry)

    async def crash(**given: Any) -> None:
        async with sandbox(registry) as box:
            box.crash(await box.submit("greet", {"name": "a"}, delay=60), after=given.get("after"))
            await box.run()
            if "error" in given:
                raise given["error"]

    with pytest.raises(SandboxError, match="expected a worker to take it, it never did"):
        await crash()
    with pytest.raises(SandboxError, match="steps: none"):
        await crash(after="charge")
    with pytest.raises(ZeroDivisionError):
        await crash(error=ZeroDivisionError())
