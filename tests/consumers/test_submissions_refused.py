"""Submissions of a handler that cannot be: for good, or until something has changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from millstream.consumers import Context, Registry
from millstream.core import linking
from millstream.core.events import Command
from millstream.core.ids import new_id

from .conftest import Bench, until
from .stepping import SOON, fault_of
from .submitting import LATER, Mail, made, spec_of


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("type: expected 1 to 128 of a-z A-Z 0-9", {"type": "no type"}),
        ("type: expected text, got 7", {"type": 7}),
        ("1 to 63 of a-z 0-9", {"queue": "Mails!"}),
        ("`int` <= 9 - at `$.priority`", {"priority": 10}),
        ("`int` >= 1", {"max_attempts": 0}),
        ("unknown field", {"prioritie": 1}),
        ("$.tags[0]", {"tags": [""]}),
        ("either run_at or delay, got both", {"delay": 1, "run_at": datetime.now(UTC)}),
        ("timezone", {"run_at": datetime(2026, 1, 1)}),  # noqa: DTZ001
        ("not so far ahead", {"run_at": datetime(2200, 1, 1, tzinfo=UTC)}),
        ("concurrency_key: expected 1 to 128", {"concurrency_key": "no key"}),
        ("expected a period in seconds", {"unique": {"scope": "period"}}),
        ("a payload that can be JSON, got Encoding", {"payload": object()}),
        ("at most 64 levels of nesting", {"payload": "deep"}),
        ("a payload of at most 10000 bytes, got 20002", {"payload": "x" * 20_000}),
        ("a payload as 'typed' takes it, got Object missing required field `to`",
         {"type": "typed", "payload": {}}),
        ("1 to 128 printable", {"name": "\n"}),
    ],
)  # fmt: skip
async def test_what_can_never_be_submitted_fails_the_job_for_good(
    bench: Bench, registry: Registry, fault: str, how: dict[str, Any]
) -> None:
    @registry.job("typed")
    async def typed(ctx: Context, payload: Mail) -> None:
        pass

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        options = dict(how)
        type, given = options.pop("type", "mail"), options.pop("payload", None)
        if given == "deep":
            given = []
            for _ in range(64):
                given = [given]
        await ctx.submit(type, given, **options)

    await bench.worker(registry, unknown_types="accept", max_body=10_000)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-2:] == ["attempt_failed", "failed"]
    told = await fault_of(bench, job)
    assert fault in told["message"]
    assert told["type"].endswith("StepError")
    assert (await bench.last(job))["reason"] == "non_retryable"


async def test_a_type_nobody_knows_yet_may_be_known_at_the_next_attempt(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order", backoff=LATER, max_attempts=99)
    async def order(ctx: Context, payload: None) -> str:
        return await ctx.submit("new.mail")

    await bench.worker(registry)
    job = await bench.submit("order")

    async def refused() -> bool:
        return "attempt_failed" in await bench.types(job)

    await until(refused)
    newer = Registry()

    @newer.job("new.mail", max_attempts=3, queue="mails")
    async def mail(ctx: Context, payload: None) -> None:
        pass

    await bench.worker(newer)
    assert (await bench.ended(job))[-1] == "succeeded"
    assert (
        "a worker of queue 'default' knows, got 'new.mail'"
        in (await fault_of(bench, job))["message"]
    )
    child = (await bench.last(job))["result"]["data"]
    assert (await spec_of(bench, child, "mails"))["max_attempts"] == 3
    assert (await bench.ended(child, queue="mails"))[-1] == "succeeded"


async def test_a_queue_that_takes_no_jobs_is_an_ordinary_failure(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order", backoff=LATER, max_attempts=99)
    async def order(ctx: Context, payload: None) -> str:
        return await ctx.submit("mail", queue="mails")

    await bench.directory.queue("mails").set_mode("draining", Command("ada"))
    await bench.worker(registry, unknown_types="accept")
    job = await bench.submit("order")

    async def refused() -> bool:
        return "attempt_failed" in await bench.types(job)

    await until(refused)
    await bench.directory.queue("mails").set_mode("open", Command("ada"))
    assert (await bench.ended(job))[-1] == "succeeded"
    assert len(await made(bench, "mails")) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depends_on": ["x"]}, "depends_on[0]: expected the id of a job"),
        ({"depends_on": [new_id("nowhere")]}, "jobs that were submitted"),
        ({"depends_on": [new_id("default")] * 2}, "each job once"),
        ({"on_parent_failure": "run"}, "depends_on beside it"),
        ({"depends_on": [], "on_parent_failure": "shrug"}, "options as the API takes them"),
        (
            {"depends_on": [new_id("default")], "unique": {"policy": "replace"}},
            "the policy keep",
        ),
    ],
)
async def test_parents_that_cannot_be_are_refused(
    bench: Bench, registry: Registry, options: dict[str, Any], said: str
) -> None:
    @registry.job("mail")
    async def mail(ctx: Context, payload: None) -> None:
        pass

    @registry.job("order", max_attempts=1)
    async def order(ctx: Context, payload: None) -> None:
        await ctx.submit("mail", **options)

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "failed"
    assert said in str(await fault_of(bench, job))
    assert await made(bench) == []


async def test_a_job_that_too_many_wait_for_is_refused_by_name(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "MAX_DEPENDENTS", 2)

    @registry.job("mail")
    async def mail(ctx: Context, payload: None) -> None:
        pass

    @registry.job("order", max_attempts=1)
    async def order(ctx: Context, payload: None) -> None:
        parent = await ctx.submit("mail", delay=3600)
        for n in range(3):
            await ctx.submit("mail", name=f"mail {n}", depends_on=[parent])

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "failed"
    fault = await fault_of(bench, job)
    assert fault["type"].endswith(".StepError")
    parent, *waiting = await made(bench)
    assert len(waiting) == 2
    assert "expected depends_on of jobs that have room for one more" in fault["message"]
    assert f"got {parent}, which has none" in fault["message"]
