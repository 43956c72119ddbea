"""How a job that waits for others is told of their ends, and goes on, or ends with them."""

from __future__ import annotations

from collections.abc import Sequence

from ..jobs import JobState
from .jobs import Live
from .log import said
from .partition import Partition

Ends = Sequence[tuple[str, str]]
"""Jobs that ended, each with its outcome."""

WORDS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "was cancelled",
    "missing": "is not there",
    "discarded": "failed and was discarded",
}


FOR_GOOD = ("missing", "discarded")
"""Outcomes that end even the wait of who waits for a job to be run again."""


class Joining(Partition):
    """The steps of verbs that have to do with jobs that wait for others."""

    def hear(self, job: Live, ended: Ends) -> None:
        """Tell a job that waits for others how some of them ended; any number of times.

        The first that did not succeed ends it, if it wants to be ended by that. One that never
        was ends it in any case.
        """
        links, policy = self.links, job.head.on_parent_failure
        open_, waits_for = links.is_open(job.id), links.parents.get(job.id, {})
        done: list[str] = []
        for parent, outcome in ended:
            if open_:
                links.keep_open(job.id, [(parent, outcome)], self.now)
            if outcome == "succeeded" or (policy == "run" and outcome != "missing"):
                done.append(parent)
            elif parent in waits_for and (policy != "wait" or outcome in FOR_GOOD):
                self._give_up(job, parent, outcome)
                return
        if links.done(job.id, done):
            self._go_on(job)

    def _go_on(self, job: Live) -> None:
        """All are done: it may run, or waits for its time, which begins now if it is a delay."""
        at = self._time_of(job)
        self.stop_depending(job)
        if job.expired(max(at, self.now)):
            self.fail(job, "expired")
        elif at > self.now:
            self.append("job.joined", job, said(run_at=at))
            self.wait(job, JobState.SCHEDULED, at)
        else:
            self.append("job.joined", job, b"{}")
            self.enter(job)
            self.bell = True

    def _time_of(self, job: Live) -> int:
        """When it wants to run; 0: at once."""
        if job.hold.startswith("+"):
            return self.now + int(job.hold)
        return max(0, int(job.hold or 0))

    def _give_up(self, job: Live, parent: str, outcome: str) -> None:
        why = f"job {parent}, which it depends on, {WORDS[outcome]}"
        self.stop_depending(job)
        if job.head.on_parent_failure == "cancel":
            self.append("job.cancelled", job, said(reason=why))
        else:
            reason = "parent_missing" if outcome == "missing" else "parent_failed"
            error = {"type": reason, "message": why}
            self.append("job.failed", job, said(reason=reason, parent=parent, error=error))
        self.end(job)

    def hear_at_once(self, id: str, ended: Ends) -> None:
        """Tell a job just submitted what is known: by who submitted it, and what came before it."""
        job, links = self.jobs.live[id], self.links
        found = [*ended, *links.known(id, self.now).items()]
        if links.is_open(id) and id in links.in_time(self.now):
            links.early[id].until = None
        else:
            links.early.pop(id, None)
        if found and job.depends:  # it may have been replaced at once
            self.hear(job, found)
