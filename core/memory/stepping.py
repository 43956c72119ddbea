"""The verb checkpoint: what jobs keep of their steps."""

from __future__ import annotations

from collections.abc import Sequence

from ..stepping import MAX_STEPS, Checkpoint, Kept
from .working import Working


class Stepping(Working):
    """Steps of jobs that run."""

    def checkpoint(self, steps: Sequence[Checkpoint]) -> list[Kept]:
        """Per step, see `Kept`. One that is kept already is left as it is."""
        return [self._keep(step) for step in steps]

    def _keep(self, given: Checkpoint) -> Kept:
        job = self.leased(given.id, given.fence)
        if job is None:
            return 0
        if given.step not in job.steps:
            if len(job.steps) >= MAX_STEPS:
                return -1
            self.append("job.checkpointed", job, given.body)
            job.steps[given.step] = given.body
        return 2 if job.cancel else 1
