"""The partition: rooms, gates, and the steps that verbs share."""

from __future__ import annotations

from ..jobs import JobState
from .log import said
from .passing import Passing


class Partition(Passing):
    """State of one partition; verbs are in the classes that stand on this one."""

    def promote_due(self, limit: int) -> int:
        """Whose time has come enters its lane, unless it has expired; at rates before."""
        self.ring_timers(limit)
        ready = self.due.ready(self.now, limit)
        for id in ready:
            self.due.remove(id)
        for id in ready:
            job = self.jobs.live[id]
            if job.expired(self.now):
                self.fail(job, "expired")
            else:
                cause = "retry" if job.state is JobState.RETRYING else "due"
                self.append("job.queued", job, said(cause=cause))
                self.enter(job)
        return len(ready)

    def next_due(self) -> int:
        """When (ms) a job may run next: its time has come, or a rate lets it in; 0: never."""
        times = [at for at in (self.due.next(), *self.gates.timers.values()) if at]
        return min(times, default=0)
