"""Asking about many things at a time, but not about all at once: connections are few."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8


async def together(ask: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The answers in the order of the items, `AT_ONCE` of them asked for at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with turns:
            return await ask(item)

    return await asyncio.gather(*map(one, items))
