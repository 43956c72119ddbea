"""Jobs that wait for others, in a sandbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from millstream.consumers import Context, Fail, Registry
from millstream.consumers.testing import Leftover, Sandbox, SandboxError
from millstream.core import events as ev
from millstream.core.ids import new_id

from .conftest import Box


@pytest.fixture
def mill(registry: Registry) -> Registry:
    """Pages in a queue of their own, which may fail, and what is made of them."""

    @registry.job("page", queue="pages", max_attempts=1)
    async def page(ctx: Context, n: int) -> int:
        if n < 0:
            raise Fail("no such page")
        return n

    @registry.job("merge", queue="books")
    async def merge(ctx: Context, payload: Any) -> str:
        return "merged"

    @registry.job("book")
    async def book(ctx: Context, pages: int) -> str:
        made = [await ctx.submit("page", n) for n in range(pages)]
        merged = await ctx.submit("merge", depends_on=made)
        return await ctx.submit("mail", depends_on=[merged], delay=timedelta(hours=1))

    @registry.job("mail")
    def mail(ctx: Context, payload: Any) -> str:
        return "sent"

    return registry


async def test_a_whole_flow_runs_across_queues(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill, strict=True) as box:
        book = await box.submit("book", 3)
        await box.run()
        merged = box.submitted("merge", by=book)[0]
        assert merged.story == ["submitted", "joined", "started", "succeeded"]
        assert merged.depends_on == [page.id for page in box.submitted("page")]
        mail = box.job(box.job(book).result)
        assert (mail.state, mail.depends_on) == ("scheduled", [merged.id])
        assert mail.run_at is not None
        assert timedelta(minutes=59) < mail.run_at - box.now <= timedelta(hours=1)
        await box.advance(hours=1)
        assert box.job(mail.id).result == "sent"


async def test_who_waits_is_blocked_until_all_have_ended(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill) as box:
        soon, late = await box.submit("page", 1), await box.submit("page", 2, delay=60)
        merge = await box.submit("merge", depends_on=[soon, late])
        mail = await box.submit("mail", depends_on=[merge], run_at=box.now + timedelta(hours=1))
        due = box.now + timedelta(hours=1)
        await box.run()
        assert (box.job(merge).state, box.job(merge).blocked_on) == ("blocked", "jobs")
        await box.advance(minutes=1)
        assert box.job(merge).result == "merged"
        run_at = box.job(mail).run_at
        assert run_at is not None
        assert abs(run_at - due) < timedelta(seconds=5)
        await box.advance(minutes=58)
        assert box.job(mail).state == "scheduled"
        await box.advance(minutes=1, seconds=5)
        assert box.job(mail).state == "succeeded"


@pytest.mark.parametrize(
    ("policy", "story"),
    [
        ("fail", ["submitted", "failed"]),
        ("cancel", ["submitted", "cancelled"]),
        ("run", ["submitted", "joined", "started", "succeeded"]),
        ("wait", ["submitted"]),
    ],
)
async def test_a_parent_that_fails(
    sandbox: Box, mill: Registry, policy: Any, story: list[str]
) -> None:
    async with sandbox(mill) as box:
        page = await box.submit("page", -1)
        merge = await box.submit("merge", depends_on=[page], on_parent_failure=policy)
        last = await box.submit("mail", depends_on=[merge])
        await box.run()
        assert box.job(merge).story == story
        assert box.job(last).ended == (policy != "wait")


@pytest.mark.parametrize(
    ("policy", "state"),
    [("fail", "failed"), ("cancel", "cancelled"), ("run", "succeeded"), ("wait", "blocked")],
)
async def test_a_parent_that_was_over(
    sandbox: Box, mill: Registry, policy: Any, state: str
) -> None:
    """As the API finds out how it ended, for a handler cannot know."""
    async with sandbox(mill) as box:
        page = await box.submit("page", -1)
        await box.run()
        merge = await box.submit("merge", depends_on=[page], on_parent_failure=policy)
        await box.run()
        assert box.job(merge).state == state


async def test_a_parent_that_had_succeeded(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill, strict=True) as box:
        page = await box.submit("page", 1)
        await box.run()
        await box.submit("merge", depends_on=[page])
        await box.run()


async def test_a_parent_is_run_again(sandbox: Box, registry: Registry) -> None:
    broken = [True]

    @registry.job("fetch", max_attempts=1)
    async def fetch(ctx: Context, payload: Any) -> None:
        if broken:
            raise Fail("not yet")

    @registry.job("report")
    async def report(ctx: Context, payload: Any) -> None: ...

    async with sandbox(registry, strict=True) as box:
        fetched = await box.submit("fetch")
        early = await box.submit("report", depends_on=[fetched], on_parent_failure="wait")
        await box.run()
        late = await box.submit("report", depends_on=[fetched], on_parent_failure="wait")
        await box.run()
        assert [box.job(one).state for one in (early, late)] == ["blocked", "blocked"]
        broken.clear()
        await box.redrive(fetched)
        await box.run()
        assert [box.job(one).state for one in (early, late)] == ["succeeded", "succeeded"]


async def test_a_job_of_another_service_ends(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill, elsewhere=["scan"]) as box:
        scan = await box.submit("scan")
        merge = await box.submit("merge", depends_on=[scan], on_parent_failure="run")
        await box.run()
        assert box.job(merge).state == "blocked"
        await box.cancel(scan)
        await box.run()
        assert box.job(merge).state == "succeeded"


async def test_a_parent_that_expires_where_nothing_else_runs(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill) as box:
        await box.queue("pages").set_mode("paused", ev.Command("ada", ""))
        page = await box.submit("page", 1, expires_at=box.now + timedelta(minutes=1))
        merge = await box.submit("merge", depends_on=[page])
        await box.advance(minutes=2)
        await box.queue("pages").set_mode("open", ev.Command("ada", ""))
        await box.run()
        assert (box.job(page).state, box.job(merge).state) == ("failed", "failed")


async def test_what_depends_on_nothing_there_is(sandbox: Box, mill: Registry) -> None:
    async with sandbox(mill) as box:
        for wrong in (["x"], ["01990000-0000-7000-8000-000000000000"]):
            with pytest.raises(SandboxError, match="depends_on"):
                await box.submit("merge", depends_on=wrong)
        gone = await box.submit("merge", depends_on=[new_id("pages")])
        await box.run()
        error = box.job(gone).error
        assert error is not None
        assert error.type == "parent_missing"


async def test_who_waits_for_ever_is_named(mill: Registry) -> None:
    async with Sandbox(mill) as box:
        page = await box.submit("page", -1)
        merge = await box.submit("merge", depends_on=[page], on_parent_failure="wait")
        with pytest.raises(Leftover, match=rf"{merge} \(merge, blocked\)"):
            await box.run_to_end()
