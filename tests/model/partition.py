"""The partition: rooms, gates, and the steps that verbs share."""

from __future__ import annotations

from millstream.core.jobs import JobState

from .passing import Passing


class Partition(Passing):
    """State of one partition. Verbs are in `verbs.Model`."""

    def promote_due(self, limit: int) -> int:
        """Whose time has come enters its lane, unless it has expired; at rates before."""
        self.ring_timers(limit)
        ready = self.due.ready(self.now, limit)
        for id in ready:
            self.due.remove(id)
        for id in ready:
            job = self.jobs.live[id]
            if job.expired(self.clock):
                self.fail(job, "expired")
            else:
                cause = "retry" if job.state is JobState.RETRYING else "due"
                self.append("job.queued", job, {"cause": cause})
                self.enter(job)
        return len(ready)
