"""How far running jobs have come: the typed face of that verb."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .events import JobProgressed, body_of
from .face import Face

Heard = Literal[0, 1, 2]
"""Of a report: 1 told, 2 told and the job is to be cancelled, 0 the lease is lost."""


class Told(NamedTuple):
    """What a job told under a lease: the body of its event."""

    id: str
    fence: int
    body: bytes


def new_told(job: str, fence: int, event: JobProgressed) -> Told:
    """Prepare a report."""
    return Told(job, fence, body_of(event))


class Progressing(Face):
    """Progress of the jobs of a partition."""

    __slots__ = ()

    async def progress(self, reports: Sequence[Told]) -> list[Heard]:
        """Tell how far jobs have come; per job, see `Heard`. Told twice is told twice."""
        args: list[Any] = []
        for report in reports:
            args += report
        return await self._run("progress", args)
