"""One handler, called once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.consumers import Context, Registry
from millstream.consumers.testing import SandboxError, call


class Order(msgspec.Struct):
    cents: int


def shop(registry: Registry) -> Any:
    @registry.job("order.pay", max_attempts=2)
    async def pay(ctx: Context, order: Order) -> str:
        if order.cents < 0:
            raise ValueError("less than nothing")
        number = await ctx.step("charge", lambda: f"R-{order.cents}")
        await ctx.submit("mail.send", {"text": number}, queue="mails")
        if order.cents > 100:
            await ctx.sleep(hours=1)
        return number

    return pay


async def test_what_comes_of_it(registry: Registry) -> None:
    outcome = await call(shop(registry), {"cents": 42}, registry=registry)
    assert (outcome.verdict, outcome.result, outcome.after) == ("succeeded", "R-42", None)
    (mail,) = outcome.submitted
    assert outcome.steps == {"charge": "R-42", "submit-1": mail.id}
    assert (mail.type, mail.payload, mail.queue) == ("mail.send", {"text": "R-42"}, "mails")


async def test_a_payload_may_be_what_the_handler_takes(registry: Registry) -> None:
    assert (await call(shop(registry), Order(7), registry=registry)).result == "R-7"


async def test_it_is_called_once(registry: Registry) -> None:
    shop(registry)
    slept = await call("order.pay", {"cents": 101}, registry=registry)
    assert (slept.verdict, slept.after, slept.result) == ("snoozed", 3600, None)
    failed = await call("order.pay", {"cents": -1}, registry=registry)
    assert failed.verdict == "retry"
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "less than nothing")
    assert failed.after is not None
    last = await call("order.pay", {"cents": -1}, registry=registry, max_attempts=1)
    assert (last.verdict, last.after) == ("failed", None)


async def test_at_once_whatever_its_time(registry: Registry) -> None:
    shop(registry)
    outcome = await call("order.pay", {"cents": 1}, registry=registry, delay=3600, queue="later")
    assert outcome.verdict == "succeeded"


async def test_what_cannot_be_called(registry: Registry) -> None:
    shop(registry)
    with pytest.raises(SandboxError, match=r"did you mean 'order.pay'"):
        await call("order.pays", {"cents": 1}, registry=registry)
    with pytest.raises(SandboxError, match=r"registered with @job"):
        await call(len, registry=registry)
    with pytest.raises(SandboxError, match=r"`\$.cents`"):
        await call("order.pay", {"cents": "1"}, registry=registry)
