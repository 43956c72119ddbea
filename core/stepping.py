"""What jobs keep of their steps: the typed face of that verb, and of reading them back."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from .connection import call, translated
from .events import JobCheckpointed, body_of
from .face import Face

MAX_STEPS = 1000
"""Steps of one job, its sleeps and submissions among them."""

MAX_STEP_NAME = 128

Kept = Literal[-1, 0, 1, 2]
"""Of a step: 1 kept, 2 kept and the job is to be cancelled, 0 the lease is lost, -1 too many."""

_read = msgspec.json.Decoder(JobCheckpointed).decode


class Checkpoint(NamedTuple):
    """A step that was done under a lease, and the body of its event."""

    id: str
    fence: int
    step: str
    body: bytes


def new_checkpoint(job: str, fence: int, event: JobCheckpointed) -> Checkpoint:
    """Prepare a step to be kept."""
    return Checkpoint(job, fence, event.step, body_of(event))


class Stepping(Face):
    """Steps of the jobs of a partition."""

    __slots__ = ()

    async def checkpoint(self, steps: Sequence[Checkpoint]) -> list[Kept]:
        """Keep steps that are done; per step, see `Kept`. The same again changes nothing."""
        args: list[Any] = [MAX_STEPS]
        for step in steps:
            args += step
        return await self._run("checkpoint", args)

    async def steps(self, job: str) -> frozenset[str]:
        """Names of the steps a live job has kept."""
        with translated():
            found = await call(self._redis, "HKEYS", self._keys.steps(self.partition, job))
        return frozenset(name.decode() for name in found)

    async def step(self, job: str, name: str) -> JobCheckpointed | None:
        """One of them; None if there is none.

        Raises msgspec.MsgspecError if a later release wrote what this cannot read.
        """
        with translated():
            raw = await call(self._redis, "HGET", self._keys.steps(self.partition, job), name)
        return None if raw is None else _read(raw)
