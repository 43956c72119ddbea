"""Jobs that a worker cannot run as they are: payload, result, type or spec does not fit."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from millstream.consumers import Context, Registry, outcomes
from millstream.core.codec import Data
from millstream.core.events import JobSubmitted

from .rig import Rig, body, end


async def test_a_payload_that_does_not_fit_fails_at_once_with_the_path(registry: Registry) -> None:
    class Mail(msgspec.Struct):
        to: list[str]

    ran = False

    @registry.job("mail")
    async def mail(ctx: Context, payload: Mail) -> None:
        nonlocal ran
        ran = True

    rig = Rig(registry)
    finish = await rig.run("mail", {"to": ["a", 5]})
    assert finish.verdict == "failed"
    assert end(finish) == {"reason": "non_retryable"}
    fault = body(finish)["error"]
    assert fault["type"] == "InvalidPayload"
    assert "$.to[1]" in fault["message"]
    coded = JobSubmitted("mail", payload=Data(msgspec.Raw(b'"zzz"'), codec="sealed"))
    sealed = await rig.run("mail", spec=coded)
    assert "codec 'json', got 'sealed'" in body(sealed)["error"]["message"]
    assert not ran


@pytest.mark.parametrize("value", [object(), {1, object()}, "\ud800"])
async def test_a_result_that_cannot_be_written_fails_the_job(
    registry: Registry, value: Any
) -> None:
    @registry.job("odd")
    async def odd(ctx: Context, payload: None) -> Any:
        return value

    finish = await Rig(registry).run("odd")
    assert end(finish) == {"reason": "non_retryable"}
    assert body(finish)["error"]["type"] == "InvalidResult"


async def test_a_plain_function_that_returns_a_coroutine_is_told_so(registry: Registry) -> None:
    async def inner() -> None: ...

    @registry.job("forgot")
    def forgot(ctx: Context, payload: None) -> Any:
        return inner()

    finish = await Rig(registry).run("forgot")
    assert "declare it with async def" in body(finish)["error"]["message"]


async def test_a_missing_handler_releases_then_gives_up(registry: Registry) -> None:
    rig = Rig(registry, missing_after=100)
    at = time.time_ns() // 1_000_000
    for age, delay in ((0, 1000), (10_000, 5000), (99_000, 49_500)):
        finish = await rig.run("nobody", now=at + age)
        assert finish.verdict == "released"
        assert abs(finish.delay_ms - delay) < 500
        assert body(finish)["reason"] == "handler_missing"
    scheduled = JobSubmitted("nobody", run_at=at + 200_000)
    assert (await rig.run("nobody", spec=scheduled, now=at + 201_000)).delay_ms == 1000
    finish = await rig.run("nobody", now=at + 101_000)
    assert (finish.verdict, finish.body) == ("failed", b"")
    assert end(finish)["reason"] == "handler_missing"
    assert "nobody" in end(finish)["error"]["message"]


@pytest.mark.parametrize(("elsewhere", "delay"), [(None, 1000), (True, 2000), (False, 49_500)])
async def test_while_nobody_knows_whether_others_could_it_is_offered_again_at_once(
    registry: Registry, elsewhere: bool | None, delay: int
) -> None:
    """Else who asks once a minute is told so each time, and the job is never given up."""
    rig = Rig(registry, missing_after=100)
    attempt = rig.start("nobody", now=time.time_ns() // 1_000_000 + 99_000)
    rig.executor.resolve(attempt)
    finish = outcomes.not_mine(attempt, "nobody", 100, elsewhere)
    assert abs(finish.delay_ms - delay) < 500


async def test_a_spec_of_a_later_release_is_left_to_others(registry: Registry) -> None:
    rig = Rig(registry)
    attempt = rig.start("x")
    attempt.lease = msgspec.structs.replace(attempt.lease, spec=b'{"type":"x","priority":"high"}')
    finish = await rig.verdict(attempt)
    assert finish.verdict == "released"
