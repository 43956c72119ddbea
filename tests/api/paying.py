"""Workers of two releases, and what they say they take."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from millstream.core.shapes import digest_of, document_of
from millstream.core.workers import KEPT, Report, Workers

from .conftest import Api, Core

_HEAD = """
from typing import Literal
from msgspec import Struct
from millstream.consumers import Context, Registry
registry = Registry()
"""

OLD = (
    _HEAD
    + """
class Payment(Struct):
    amount: int
    currency: Literal["EUR", "USD"] = "EUR"

@registry.job("pay")
async def pay(ctx: Context, payment: Payment) -> int:
    return payment.amount

@registry.job("free")
async def free(ctx: Context, payload: object) -> None: ...
"""
)

NEW = (
    _HEAD
    + """
class Payment(Struct, forbid_unknown_fields=True):
    cents: int

@registry.job("pay")
async def pay(ctx: Context, payment: Payment) -> int:
    return payment.cents
"""
)


class Payment(Struct):
    amount: int
    currency: Literal["EUR", "USD"] = "EUR"


class Cents(Struct, forbid_unknown_fields=True):
    cents: int


_started = itertools.count(1_750_000_000_000)


class Said:
    """Workers that say what they take, and do nothing else."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.workers = Workers(core.redis, core.keys)

    async def say(self, name: str, types: Mapping[str, Any], **fields: Any) -> bytes:
        """A report as a worker makes it; the text that its digest stands for."""
        takes = document_of(types)
        report = Report(
            name=name, host="h", pid=1, started_at=next(_started), queues=["default"],
            types=sorted(types), concurrency=1, takes=digest_of(takes), **fields,
        )  # fmt: skip
        await self.workers.report(report, takes)
        return takes

    async def say_nothing(self, name: str, types: Sequence[str]) -> None:
        """As a worker of a release that knows no shapes."""
        report = Report(name, "h", 1, next(_started), ["default"], list(types), 1)
        await self.workers.report(report)

    async def age(self, name: str, seconds: float) -> None:
        """Let its last report be so old."""
        await self.core.redis.pexpire(self.core.keys.worker(name), round((KEPT - seconds) * 1000))


def pay(api: Api, payload: Any = msgspec.UNSET, **fields: Any) -> Any:
    """What is answered to a payment."""
    given = {} if payload is msgspec.UNSET else {"payload": payload}
    return api.client.post("/api/v1/jobs", json={"type": "pay", **given, **fields})


def status(api: Api, payload: Any, **fields: Any) -> int:
    return pay(api, payload, **fields).status_code
