"""Verbs of workers: claim, finish, renew, announce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.errors import GroupLost
from millstream.core.jobs import JobState
from millstream.core.queue import Verdict

from .commands import Given, Said
from .gates import QUEUE
from .jobs import Live
from .lanes import Entry, Lane
from .log import Fact, says
from .partition import Partition

EVENTS: dict[Verdict, str] = {
    "succeeded": "job.succeeded",
    "retry": "job.attempt_failed",
    "snoozed": "job.snoozed",
    "released": "job.released",
    "cancelled": "job.cancelled",
}


class Working(Partition):
    """What workers do with the jobs they are given."""

    def claim(self, worker: str, limit: int, *, held: bool) -> list[Given]:
        """Up to `limit` leases: new ones after promoting as many, or those held already.

        A paused queue gives no new ones. A limit of the whole queue counts what runs in it.
        """
        most = limit
        if not held:
            self.promote_due(limit)
            most = self._quota(limit)
        given: list[Given] = []
        for _, lane in self.lanes.in_order():
            if len(given) < most and lane.lost:
                raise GroupLost
            more = len(given) < most
            while more:
                wanted = most - len(given)
                batch = (lane.held(worker) if held else lane.waiting())[:wanted]
                given += self._give(lane, batch, worker, held=held)
                # What enters meanwhile is given too, but not after the lane gave less than wanted.
                more = not held and len(batch) == wanted and len(given) < most
        if not held and len(given) == limit:
            self.bell = True
        return given

    def _quota(self, limit: int) -> int:
        """How many new leases a claim may give."""
        if self.mode == "paused":
            return 0
        bound = self.gates.bounds.get(QUEUE)
        if bound is None:
            return limit
        owned = [one for _, lane in self.lanes.in_order() for one in lane.entries if one.owner]
        return max(min(limit, bound - len(owned)), 0)

    def _give(self, lane: Lane, batch: Sequence[Entry], worker: str, *, held: bool) -> list[Given]:
        given: list[Given] = []
        for entry in batch:
            if held or self._start(lane, entry, worker):
                entry.since = self.clock
                given.append(self._given(entry.job))
        return given

    def _start(self, lane: Lane, entry: Entry, worker: str) -> bool:
        job = self.jobs.live[entry.job]
        if job.expired(self.clock):
            lane.entries.remove(entry)
            self.fail(job, "expired")
            return False
        if not self.pass_gates(job):
            lane.entries.remove(entry)
            return False
        entry.given, entry.owner = True, worker
        job.state = JobState.RUNNING
        self.append("job.started", job, {"attempt": job.tries + 1, "worker": worker})
        return True

    def _given(self, id: str) -> Given:
        job = self.jobs.live[id]
        return Given(id, job.fence, job.tries + 1, job.crashes, job.body)

    def finish(self, verdicts: Sequence[Said]) -> list[bool]:
        """Per verdict: whether its lease is the running one, so that it counts."""
        accepted = [self._finish(said) for said in verdicts]
        self.bell = self.bell or (any(accepted) and QUEUE in self.gates.bounds)
        return accepted

    def _finish(self, said: Said) -> bool:
        job = self.jobs.live.get(said.id)
        if job is None or job.state is not JobState.RUNNING or job.fence != said.fence:
            return False
        self.lanes.leave(job.priority, job.id)
        if said.verdict == "failed":
            if said.body:
                self.append("job.attempt_failed", job, says(said.body))
            self.append("job.failed", job, says(said.end))
            self.end(job)
            return True
        self.append(EVENTS[said.verdict], job, says(said.body))
        if said.verdict in ("succeeded", "cancelled"):
            self.end(job)
        elif job.cancel:
            self.cancel_after(job)
        else:
            self._again(job, said)
        return True

    def _again(self, job: Live, said: Said) -> None:
        """The job runs again: only a retry costs an attempt, only a plain release needs no wait."""
        if said.verdict == "released" and not said.delay:
            self.enter(job)
            self.bell = True
            return
        if said.verdict == "retry":
            job.tries += 1
        state = JobState.RETRYING if said.verdict == "retry" else JobState.SCHEDULED
        self.wait(job, state, self.now.later(said.delay))
        self.leave_gates(job)

    def renew(self, worker: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """Per lease: 0 lost · 1 renewed, and held by `worker` now · 2 the same, but to be ended.

        A lost group refuses the call as soon as one of the leases named is in its lane.
        """
        named = [self.jobs.live.get(id) for id, _ in leases]
        right = [
            job if job is not None and job.fence == fence else None
            for job, (_, fence) in zip(named, leases, strict=True)
        ]
        if any(job and job.fence and self.lanes.lanes[job.priority].lost for job in right):
            raise GroupLost
        return [self._renew(worker, job) for job in right]

    def _renew(self, worker: str, job: Live | None) -> int:
        if job is None or job.state is not JobState.RUNNING:
            return 0
        entry = self.lanes.entry(job.priority, job.id)
        entry.owner, entry.since = worker, self.clock
        return 2 if job.cancel else 1

    def announce(self, type_: str, body: dict[str, Any]) -> None:
        """A worker comes or goes; its leases stay."""
        self.log.append(Fact(type_, "", 0, body))
