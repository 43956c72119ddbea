"""The verbs of workers: claim, finish, renew."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import GroupLost
from ..hot import Lease
from ..jobs import JobState
from ..queue import Claim, Finish, Verdict
from .jobs import Live
from .lanes import Entry, Lane
from .log import said
from .partition import Partition
from .refusals import check_verdicts

EVENTS: dict[Verdict, str] = {
    "succeeded": "job.succeeded",
    "retry": "job.attempt_failed",
    "snoozed": "job.snoozed",
    "released": "job.released",
    "cancelled": "job.cancelled",
    "crashed": "job.crashed",
}


class Working(Partition):
    """What workers ask of a partition."""

    _parkable = 0
    """How many more jobs a claim may let wait at gates."""

    def claim(self, worker: str, limit: int, *, held: bool) -> Claim:
        """Up to `limit` leases: new ones after promoting as many, or those held already."""
        given: list[Lease] = []
        self._parkable = 2 * limit + 100
        if held:
            self._held(worker, limit, given)
            return Claim(self.now, self.next_due(), given)
        self.promote_due(limit)
        most = 0 if self.mode == "paused" else self._quota(limit)
        rate = None if self.mode == "paused" else self.gates.whole_rate()
        try:
            if "aging" in self.gates.limits:
                self._serve_oldest(worker, most, given)
            else:
                self._serve(worker, most, given)
        finally:
            if rate:
                rate.pay(len(given), self.now)
        if len(given) == limit or self._parkable <= 0:
            self.bell = True
        again = self.next_due()
        if rate and len(given) == most and rate.room(self.now) < 1 and self._any_waiting():
            token = rate.room_at(self.now)
            again = min(again, token) if again else token
        return Claim(self.now, again, given)

    def _quota(self, limit: int) -> int:
        """How many the limits of the whole queue let start now."""
        most, running = limit, sum(len(lane.leased()) for _, lane in self.lanes.in_order())
        bound, rate = self.gates.bound("c"), self.gates.whole_rate()
        if isinstance(bound, int):
            most = min(most, bound - running)
        if rate:
            most = min(most, rate.room(self.now))
        return max(most, 0)

    def _any_waiting(self) -> bool:
        return any(len(lane.entries) > len(lane.leased()) for _, lane in self.lanes.in_order())

    def _held(self, worker: str, limit: int, given: list[Lease]) -> None:
        for _, lane in self.lanes.in_order():
            if len(given) == limit:
                return
            if lane.lost:
                raise GroupLost
            for entry in lane.held(worker)[: limit - len(given)]:
                entry.since = self.now
                given.append(self._given(entry.job))

    def _serve(self, worker: str, most: int, given: list[Lease]) -> None:
        """Lane by lane, until all slots are full."""
        for _, lane in self.lanes.in_order():
            while len(given) < most and self._parkable > 0:
                if not self._read(lane, worker, most - len(given), given):
                    break

    def _serve_oldest(self, worker: str, most: int, given: list[Lease]) -> None:
        """Whoever waits longest, a job of priority p as if it had come p times the aging later."""
        aging = int(self.gates.limits["aging"])
        while len(given) < most and self._parkable > 0:
            heads = sorted(
                (lane.waiting()[0].at + priority * aging, priority)
                for priority, lane in self.lanes.in_order()
                if lane.waiting()
            )
            if not heads:
                return
            (_, best), *others = heads
            lane = self.lanes.lanes[best]
            waiting = lane.waiting()
            if others:
                last = others[0][0] - best * aging
                waiting = [entry for entry in waiting if entry.at <= last]
            self._read(lane, worker, min(max(len(waiting), 1), most - len(given)), given)

    def _read(self, lane: Lane, worker: str, wanted: int, given: list[Lease]) -> bool:
        """Start as many as were read together, or drop them; whether there may be more."""
        if lane.lost:
            raise GroupLost
        entries = lane.waiting()[:wanted]
        given += [self._given(entry.job) for entry in entries if self._start(lane, entry, worker)]
        return len(entries) == wanted

    def _start(self, lane: Lane, entry: Entry, worker: str) -> bool:
        job = self.jobs.live[entry.job]
        if job.expired(self.now):
            lane.entries.remove(entry)
            self.fail(job, "expired")
            return False
        if not self.pass_gates(job):
            self._parkable -= 1
            return False
        entry.given, entry.owner, entry.since = True, worker, self.now
        job.state = JobState.RUNNING
        self.append("job.started", job, said(attempt=job.tries + 1, worker=worker))
        return True

    def _given(self, id: str) -> Lease:
        job = self.jobs.live[id]
        return Lease(
            self.name,
            id,
            job.fence,
            job.tries + 1,
            job.crashes,
            self.now,
            job.body,
            bool(job.steps),
        )

    def leased(self, id: str, fence: int) -> Live | None:
        """The job that runs under that lease; None: it is lost."""
        job = self.jobs.live.get(id)
        if job is None or job.state is not JobState.RUNNING or job.fence != fence:
            return None
        return job

    def finish(self, verdicts: Sequence[Finish]) -> list[bool]:
        """Per verdict: whether its lease is the running one, so that it counts."""
        check_verdicts(verdicts)
        replies = [self._finish(verdict) for verdict in verdicts]
        if any(replies) and "c" in self.gates.limits:
            self.bell = True
        return replies

    def _finish(self, given: Finish) -> bool:
        job = self.leased(given.id, given.fence)
        if job is None:
            return False
        self.lanes.leave(job.priority, job.id)
        if given.verdict == "failed":
            if given.body:
                self.append("job.attempt_failed", job, given.body)
            self.append("job.failed", job, given.end)
            self.end(job, ran=True)
            return True
        self.append(EVENTS[given.verdict], job, given.body)
        if given.verdict in ("succeeded", "cancelled"):
            self.end(job, ran=True)
        elif job.cancel:
            self.cancel_after(job)
        elif given.verdict == "crashed" and given.end:
            self.append("job.failed", job, given.end)
            self.end(job, ran=True)
        else:
            self._again(job, given)
        return True

    def _again(self, job: Live, given: Finish) -> None:
        """The job runs again: a retry costs an attempt, a crash or a release may need no wait.

        Who does not wait keeps what it has passed.
        """
        if given.verdict == "crashed":
            job.crashes += 1
        if given.verdict in ("crashed", "released") and not given.delay_ms:
            self.enter(job)
            self.bell = True
            return
        if given.verdict == "retry":
            job.tries += 1
        state = JobState.RETRYING if given.verdict == "retry" else JobState.SCHEDULED
        self.wait(job, state, self.now + given.delay_ms)
        self.leave_gates(job, ran=True)

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

    def renew_all(self, worker: str) -> None:
        """Renew whatever a worker holds. Refused while any lane's group is lost."""
        for _, lane in self.lanes.in_order():
            if lane.lost:
                raise GroupLost
            for entry in lane.held(worker):
                entry.since = self.now

    def _renew(self, worker: str, job: Live | None) -> int:
        if job is None or job.state is not JobState.RUNNING:
            return 0
        entry = self.lanes.entry(job.priority, job.id)
        entry.owner, entry.since = worker, self.now
        return 2 if job.cancel else 1
