"""What `ack` in a submission promises: refused before anything is written, or waited for after.

`memory` is what every answer means. `fsync` and `replicated` are Redis's to give, `archived` is
given by the projection.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..core.acknowledgement import Acknowledger, Level
from ..core.errors import LevelRefused, MillstreamError, Unconfirmed
from ..core.events import parse_position
from ..projections.changes import Changes
from .orders import Place
from .problems import LEVEL_MISSING, LEVEL_REFUSED, UNCONFIRMED, Fault, Problem
from .tables import Tables


class Acknowledgements:
    """Checks and waits; `timeout` in seconds bounds each wait."""

    def __init__(
        self, acknowledger: Acknowledger, tables: Tables, changes: Changes, timeout: float
    ) -> None:
        self._acknowledger = acknowledger
        self._tables = tables
        self._changes = changes
        self._timeout = timeout

    async def check(self, level: Level, queues: Iterable[str]) -> None:
        """Raises Problem if the servers cannot give `level` to jobs of these queues."""
        try:
            if level == "archived":
                await self._check_projection(set(queues))
            else:
                await self._acknowledger.check(level)
        except LevelRefused as error:
            kind = LEVEL_REFUSED if error.lasting else LEVEL_MISSING
            fault = Fault("$.ack", error.missing)
            raise Problem(kind, f"{error}. Nothing was submitted.", [fault]) from None

    async def confirm(self, level: Level, placed: Mapping[str, Sequence[Place]]) -> None:
        """Wait until these jobs, by queue, are at `level`. Raises Problem that names them all."""
        try:
            await asyncio.gather(
                *(self._confirm(level, queue, places) for queue, places in placed.items() if places)
            )
        except MillstreamError as error:
            all_of_them = [place for places in placed.values() for place in places]
            raise _unconfirmed(level, error, all_of_them) from error

    async def _confirm(self, level: Level, queue: str, places: Sequence[Place]) -> None:
        if level != "archived":
            await self._acknowledger.confirm(level, queue, {place.command for place in places})
            return
        stands = sorted((*parse_position(place.position)[1:], place.id) for place in places)
        last = epoch, seq, _ = stands[-1]
        if not await self._changes.wait_position(queue, epoch, seq, self._timeout):
            raise Unconfirmed(
                f"expected the archive to have {queue}:{epoch}:{seq} within {self._timeout:g} s"
            )
        # A log that was lost and begun again has positions that the tables passed long ago. Both
        # ends of ours: what lies between is of the same log.
        for epoch, seq, job in (stands[0], last):
            if not await self._archived(queue, epoch, seq, job):
                raise Unconfirmed(f"{queue}:{epoch}:{seq} in the archive is another event")

    async def _archived(self, queue: str, epoch: int, seq: int, job: str) -> bool:
        try:
            return await self._tables.is_archived(job, queue, epoch, seq)
        except Problem as error:
            raise Unconfirmed(f"the archive cannot be asked: {error.detail}") from error

    async def _check_projection(self, queues: set[str]) -> None:
        try:
            checkpoints = await self._tables.checkpoints()
            present = await self._tables.projector_present()
        except Problem as error:
            raise LevelRefused("archived", error.detail, lasting=False) from error
        if not present:
            raise LevelRefused("archived", "no projector is at work", lasting=False)
        for queue in sorted(queues & checkpoints.keys()):
            halted = checkpoints[queue].halted
            if halted is not None:
                missing = f"the projection of {queue} is halted: {halted}"
                raise LevelRefused("archived", missing, lasting=False)


def by_queue(queues: Sequence[str], places: Sequence[Place]) -> dict[str, list[Place]]:
    """The places of each queue."""
    found: dict[str, list[Place]] = defaultdict(list)
    for queue, place in zip(queues, places, strict=True):
        found[queue].append(place)
    return found


def _unconfirmed(level: Level, error: MillstreamError, places: Sequence[Place]) -> Problem:
    detail = f"Accepted, but not confirmed as {level}: {error}. See items for what was accepted."
    items = [{"id": place.id, "position": place.position} for place in places]
    return Problem(UNCONFIRMED, detail, accepted=len(items), items=items)
