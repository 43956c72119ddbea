"""The smallest handler there is.

millstream up --app examples/first_handler.py
millstream submit greet --payload '{"name": "Ada"}' --wait
"""

import msgspec

from millstream.consumers import Context, job


class Guest(msgspec.Struct):
    """What a `greet` job is given."""

    name: str


@job("greet")
async def greet(ctx: Context, guest: Guest) -> str:
    """Say hello; what is returned is the job's result."""
    return f"Hello, {guest.name}!"
