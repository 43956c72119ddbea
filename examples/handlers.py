"""The handlers `make run` serves: one of each kind, and the built-in ones.

    millstream submit hello --payload '{"name": "Ada"}' --wait
    millstream submit primes --payload 100000 --wait
    millstream submit flaky --payload '{"failures": 2}' --wait
    millstream submit data.query --wait \
        --payload '{"sql": "FROM '"'"'seattle-weather.csv'"'"' WHERE temp_max > 35"}'
"""

import asyncio
import os
from importlib import import_module
from pathlib import Path

import msgspec

from millstream.consumers import Backoff, Context, Fail, Retry, job

# `data.query` reads the data set that lies here, unless it is told to read another folder.
os.environ.setdefault("MILLSTREAM_DATA_DIR", str(Path(__file__).with_name("data")))

for name in ("data", "email"):  # importing them registers their handlers
    import_module(f"millstream.consumers.builtin.{name}")


class Guest(msgspec.Struct):
    """Who is greeted, and after how many seconds."""

    name: str = "world"
    after: float = 0.0


@job("hello")
async def hello(ctx: Context, guest: Guest) -> dict[str, str]:
    """An async handler: it runs on the event loop, many at a time."""
    await asyncio.sleep(guest.after)
    return {"message": f"Hello, {guest.name}!"}


@job("primes", timeout=30)
def primes(ctx: Context, below: int) -> int:
    """A plain function: it runs in a thread, and looks now and then whether it should go on."""
    if below > 10_000_000:
        raise Fail(f"expected a number up to 10,000,000, got {below}")  # no retry can help
    sieve = bytearray([1]) * max(below, 2)
    sieve[0] = sieve[1] = 0
    for number in range(2, int(below**0.5) + 1):
        if ctx.cancelled:
            break
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
    return sum(sieve)


class Trouble(msgspec.Struct):
    """How many attempts fail before one succeeds."""

    failures: int = 1


@job("flaky", max_attempts=5, backoff=Backoff(delay=0.5, jitter=0))
async def flaky(ctx: Context, trouble: Trouble) -> str:
    """A handler that fails at first: raising means another attempt, after a growing pause."""
    if ctx.attempt == 1 and trouble.failures > 0:
        raise ConnectionError("the other side is not there yet")
    if ctx.attempt <= trouble.failures:
        raise Retry("still not there", after=0.2)  # a pause of its own choosing
    return f"succeeded at attempt {ctx.attempt}"
