"""The verbs checkpoint and progress: what jobs keep of their steps, and how far they are."""

from __future__ import annotations

from collections.abc import Sequence

from ..progressing import Heard, Told
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

    def progress(self, reports: Sequence[Told]) -> list[Heard]:
        """Per report, see `Heard`. Nothing is kept of it but the version."""
        return [self._hear(report) for report in reports]

    def _hear(self, report: Told) -> Heard:
        job = self.leased(report.id, report.fence)
        if job is None:
            return 0
        self.append("job.progressed", job, report.body)
        return 2 if job.cancel else 1
