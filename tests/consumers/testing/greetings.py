"""A type of job for tests of the sandbox."""

from __future__ import annotations

import msgspec

from millstream.consumers import Context, Registry


class Guest(msgspec.Struct):
    name: str


def greeting(registry: Registry) -> None:
    @registry.job("greet")
    async def greet(ctx: Context, guest: Guest) -> str:
        return f"Hello {guest.name}"
