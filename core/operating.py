"""What operators do to a queue and its waiting jobs: the typed face of those verbs."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

from .events import Command, JobDiscarded, body_of
from .face import Face
from .jobs import WAITING, JobState

PURGE_BATCH = 500
"""Jobs one call of `purge` looks at: others must get a turn."""

Mode = Literal["open", "paused", "draining"]
"""What an operator sets."""

Found = Mode | Literal["lost"]
"""How a queue is found: `lost` halts it, since its log was lost, until it is restored."""

PURGEABLE = WAITING
"""States of jobs that a purge can cancel."""


class Standing(NamedTuple):
    """How a queue stands. Times are ms since 1970 by the server's clock, 0: none.

    queued, due, blocked, running  jobs that may run, that wait for a time or a limit, that run
    oldest                since when the first of those that may run has been waiting
    """

    now: int
    mode: Found
    queued: int
    due: int
    blocked: int
    running: int
    oldest: int
    next_due: int


class Purged(NamedTuple):
    """What one call of `purge` did, and where the next one goes on; '': it is over."""

    cursor: str
    jobs: int


class Operating(Face):
    """Verbs of a partition for operators."""

    __slots__ = ()

    async def reschedule(self, ids: Sequence[str], due: int | str, by: Command) -> list[str]:
        """Give waiting jobs another time: `due` in ms since 1970, or '+N' for N ms from now.

        Per job: rescheduled, queued, ready, running, too_late or missing (see reschedule.lua).
        """
        replies = await self._run("reschedule", [_body(by), due, *ids])
        return [reply.decode() for reply in replies]

    async def discard(self, jobs: Sequence[tuple[str, int]], by: JobDiscarded) -> list[str]:
        """Take failed jobs, each with its last version, from the dead letters.

        Per job: discarded, live or stale (see discard.lua).
        """
        args: list[Any] = [body_of(by)]
        for job in jobs:
            args += job
        return [reply.decode() for reply in await self._run("discard", args)]

    async def set_mode(self, mode: Mode, by: Command) -> bool:
        """Open, pause or drain the queue; whether that changed anything (see mode.lua)."""
        return await self._run("mode", ["" if mode == "open" else mode, _body(by)]) == 1

    async def inspect(self) -> Standing:
        """How the queue stands now."""
        now, mode, *numbers = await self._run("inspect", [])
        return Standing(now, mode.decode() or "open", *numbers)

    async def purge(
        self,
        by: Command,
        cursor: str = "",
        states: Collection[JobState] = PURGEABLE,
        limit: int = PURGE_BATCH,
    ) -> Purged:
        """Cancel a part of the jobs that wait; go on with the cursor until it is ''."""
        return await self._purge(by, cursor, states, limit, dry=False)

    async def purgeable(self, states: Collection[JobState] = PURGEABLE) -> int:
        """How many jobs a purge would cancel now.

        Their number is known; only to tell scheduled from retrying ones they are looked through.
        """
        standing = await self.inspect()
        count = standing.queued if JobState.QUEUED in states else 0
        count += standing.blocked if JobState.BLOCKED in states else 0
        timed = {JobState.SCHEDULED, JobState.RETRYING} & set(states)
        if len(timed) == 2:
            return count + standing.due
        cursor = "due:0" if timed else ""
        while cursor:
            cursor, found = await self._purge(Command(), cursor, timed, PURGE_BATCH, dry=True)
            count += found
        return count

    async def _purge(
        self, by: Command, cursor: str, states: Collection[JobState], limit: int, *, dry: bool
    ) -> Purged:
        wanted = ",".join(state.value for state in states)
        after, count = await self._run("purge", [_body(by), cursor, limit, wanted, int(dry)])
        return Purged(after.decode(), count)


def _body(by: Command) -> bytes:
    """Who and why, whatever event the command is: verbs write what is beyond that."""
    return body_of(Command(by.actor, by.reason))
