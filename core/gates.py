"""How the limit stands that a job waits for: lua/includes/gates.lua tells what a gate is."""

from typing import Any, NamedTuple

from .connection import translated
from .keys import Keys

NAMED = 5
"""Most jobs that are named of those that have passed a gate."""


class Standing(NamedTuple):
    """A gate. `bound`: of a concurrency; None: a rate, or a limit that is gone.

    running   jobs that have passed and count against it; `holders`: some of them
    ahead     jobs that wait there before this one
    opens_at  of a rate: when it is looked at again (ms since 1970)
    """

    bound: int | None
    running: int
    holders: list[str]
    ahead: int | None
    opens_at: int | None


async def gate_of(redis: Any, keys: Keys, partition: str, job: str) -> Standing | None:
    """The gate a blocked job waits at; None if it waits at none. Raises Unavailable."""
    base = keys.base(partition)
    with translated():
        found = await redis.hget(f"{base}:blocked", job)
        if found is None:
            return None
        gate = found.decode()
        pipeline = redis.pipeline(transaction=False)
        pipeline.hget(keys.limits(partition), gate.partition("|")[0])
        pipeline.scard(f"{base}:running:{gate}")
        pipeline.srandmember(f"{base}:running:{gate}", NAMED)
        pipeline.zrank(f"{base}:parked:{gate}", job)
        pipeline.zscore(f"{base}:timers", gate)
        bound, running, holders, ahead, opens_at = await pipeline.execute()
    return Standing(
        bound=int(bound) if bound is not None and bound.isdigit() else None,
        running=running,
        holders=sorted(holder.decode() for holder in holders),
        ahead=ahead,
        opens_at=None if opens_at is None else int(opens_at),
    )
