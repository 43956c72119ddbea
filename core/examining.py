"""Where jobs stand and what is held twice: the typed face of the verbs that only look."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from .face import Face

Where = Literal["gone", "astray", "ready", "running", "due", "parked", "other"]


class Place(NamedTuple):
    """Where a job stands (see examine.lua), and since or until when (ms since 1970; 0: neither)."""

    where: Where
    at: int


class Examined(NamedTuple):
    """Places of jobs at one instant, and of the log. `delivered` changes when jobs are given to
    workers; `mode`: '' open, 'paused', 'draining'."""

    now: int
    mode: str
    epoch: int
    seq: int
    delivered: str
    places: list[Place]


class Surveyed(NamedTuple):
    """A part of the ready entries; go on with the cursor until it is ''.

    twice    jobs that have another entry than their hot state tells
    overdue  jobs whose leases were not renewed for long
    """

    cursor: str
    twice: list[str]
    overdue: list[str]


class Examining(Face):
    """Verbs of a partition for who audits it."""

    __slots__ = ()

    async def examine(self, jobs: Sequence[str]) -> Examined:
        """Where these jobs stand, in their order."""
        now, mode, epoch, seq, delivered, *found = await self._run("examine", list(jobs))
        places = [
            Place(cast(Where, where.decode()), at)
            for where, at in zip(found[::2], found[1::2], strict=True)
        ]
        return Examined(now, mode.decode(), int(epoch), seq, delivered.decode(), places)

    async def survey(self, cursor: str, limit: int, idle_ms: int) -> Surveyed:
        """Look through at most `limit` ready entries."""
        after, twice, overdue = await self._run("survey", [cursor, limit, idle_ms])
        return Surveyed(after.decode(), _ids(twice), _ids(overdue))


def _ids(found: Sequence[bytes]) -> list[str]:
    return [each.decode() for each in found]
