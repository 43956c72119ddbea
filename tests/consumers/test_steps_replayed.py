"""The law of replay: wherever a handler breaks off, it ends as if it had not."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.consumers import Backoff, Context, Registry
from tests.strategies import json_values

from .conftest import Bench
from .stepping import sound


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    st.lists(st.tuples(st.sampled_from(("step", "sleep", "submit")), json_values), max_size=5),
    st.sets(st.integers(0, 5), max_size=3),
)
async def test_a_handler_that_breaks_off_anywhere_does_each_step_once_and_sees_the_same(
    redis_url: str, plan: list[tuple[str, Any]], breaks: set[int]
) -> None:
    """Whatever it does and wherever it fails, it ends with the results of a run that did not."""
    registry, bench = Registry(), Bench(redis_url)
    await bench.redis.flushdb()
    seen: list[list[Any]] = []
    ran: list[int] = []
    failed: set[int] = set()

    @registry.job("child")
    async def child(ctx: Context, payload: Any) -> None:
        pass

    @registry.job("plan", max_attempts=9, backoff=Backoff(kind="fixed", delay=0, jitter=0))
    async def follow(ctx: Context, payload: None) -> None:
        seen.append([])
        for n, (kind, value) in enumerate(plan):
            if n in breaks and n not in failed:
                failed.add(n)
                raise ConnectionError("here")
            if kind == "step":
                seen[-1].append(await ctx.step(f"s{n}", work, n, value))
            elif kind == "sleep":
                await ctx.sleep(0.002)
            else:
                seen[-1].append(await ctx.submit("child", value))

    async def work(n: int, value: Any) -> Any:
        ran.append(n)
        return value

    try:
        await bench.worker(registry)
        job = await bench.submit("plan")
        assert (await bench.ended(job))[-1] == "succeeded"
        assert ran == [n for n, (kind, _) in enumerate(plan) if kind == "step"]
        whole = seen[-1]
        assert all(one == whole[: len(one)] for one in seen)
        children = [one for one in await bench.history(job) if b"job_id" in one.body]
        assert len(children) == sum(kind == "submit" for kind, _ in plan)
        await sound(bench)
    finally:
        await bench.close()
