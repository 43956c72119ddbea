"""The verbs of workers: claim, finish, renew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from millstream.core.errors import GroupLost
from millstream.core.jobs import JobState
from millstream.core.queue import Verdict

from .due import Instant
from .jobs import Live
from .lanes import Entry, Lane
from .log import says
from .partition import Partition

EVENTS: dict[Verdict, str] = {
    "succeeded": "job.succeeded",
    "retry": "job.attempt_failed",
    "snoozed": "job.snoozed",
    "released": "job.released",
    "cancelled": "job.cancelled",
    "crashed": "job.crashed",
}


class Given(NamedTuple):
    """A lease as a claim gives it."""

    id: str
    fence: int
    attempt: int
    crashes: int
    spec: bytes


class Said(NamedTuple):
    """A verdict, `delay` in minutes; `body` and `end` as in finish.lua."""

    id: str
    fence: int
    verdict: Verdict
    delay: int
    body: bytes
    end: bytes


SHORT = 1
"""The shortest aging (ms)."""


class Claimed(NamedTuple):
    """What a claim gave, and when to look again."""

    given: list[Given]
    next_due: Instant | None


class Working(Partition):
    """What workers ask of a partition."""

    def claim(self, worker: str, limit: int, *, held: bool) -> Claimed:
        """Up to `limit` leases: new ones after promoting as many, or those held already."""
        given: list[Given] = []
        if held:
            self._held(worker, limit, given)
            return Claimed(given, self.next_due())
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
        if len(given) == limit:
            self.bell = True
        again = self.next_due()
        if rate and len(given) == most and rate.room(self.now) < 1 and self._any_waiting():
            token = rate.room_at(self.now)
            again = min(again, token) if again else token
        return Claimed(given, again)

    def _quota(self, limit: int) -> int:
        """How many the limits of the whole queue let start now."""
        most, running = limit, sum(len(lane.leased()) for _, lane in self.lanes.in_order())
        bound, rate = self.gates.limits.get("c"), self.gates.whole_rate()
        if isinstance(bound, int):
            most = min(most, bound - running)
        if rate:
            most = min(most, rate.room(self.now))
        return max(most, 0)

    def _any_waiting(self) -> bool:
        return any(len(lane.entries) > len(lane.leased()) for _, lane in self.lanes.in_order())

    def next_due(self) -> Instant | None:
        """When the next job may run: its time has come, or a rate lets it in."""
        return min([*self.due.at.values(), *self.gates.timers.values()], default=None)

    def _held(self, worker: str, limit: int, given: list[Given]) -> None:
        for _, lane in self.lanes.in_order():
            if len(given) == limit:
                return
            if lane.lost:
                raise GroupLost
            for entry in lane.held(worker)[: limit - len(given)]:
                entry.since = self.clock
                given.append(self._given(entry.job))

    def _serve(self, worker: str, most: int, given: list[Given]) -> None:
        """Lane by lane, until all slots are full."""
        for _, lane in self.lanes.in_order():
            while len(given) < most and self._read(lane, worker, most - len(given), given):
                pass

    def _serve_oldest(self, worker: str, most: int, given: list[Given]) -> None:
        """Whoever waits longest, a job of priority p as if it had come p times the aging later."""
        while len(given) < most:
            heads = [
                (self._age(lane.waiting()[0], priority), priority)
                for priority, lane in self.lanes.in_order()
                if lane.waiting()
            ]
            if not heads:
                return
            (_, best), *others = sorted(heads)
            lane = self.lanes.lanes[best]
            until = min(others)[0] if others else None
            ahead = [
                entry
                for entry in lane.waiting()
                if until is None or self._age(entry, best) <= until
            ]
            self._read(lane, worker, min(len(ahead), most - len(given)), given)

    def _age(self, entry: Entry, priority: int) -> tuple[int, int]:
        """Aging is either far less than what lies between two calls, or far more than a test."""
        long = self.gates.limits["aging"] != SHORT
        return (priority, entry.tick) if long else (entry.tick, priority)

    def _read(self, lane: Lane, worker: str, wanted: int, given: list[Given]) -> bool:
        """Start as many as were read together, or drop them; whether there may be more."""
        if lane.lost:
            raise GroupLost
        entries = lane.waiting()[:wanted]
        for entry in entries:
            if self._start(lane, entry, worker):
                given.append(self._given(entry.job))
        return len(entries) == wanted

    def _start(self, lane: Lane, entry: Entry, worker: str) -> bool:
        job = self.jobs.live[entry.job]
        if job.expired(self.clock):
            lane.entries.remove(entry)
            self.fail(job, "expired")
            return False
        if not self.pass_gates(job):
            return False
        entry.given, entry.owner, entry.since = True, worker, self.clock
        job.state = JobState.RUNNING
        self.append("job.started", job, {"attempt": job.tries + 1, "worker": worker})
        return True

    def _given(self, id: str) -> Given:
        job = self.jobs.live[id]
        return Given(id, job.fence, job.tries + 1, job.crashes, job.body)

    def finish(self, verdicts: Sequence[Said]) -> list[bool]:
        """Per verdict: whether its lease is the running one, so that it counts."""
        replies = [self._finish(said) for said in verdicts]
        if any(replies) and "c" in self.gates.limits:
            self.bell = True
        return replies

    def _finish(self, said: Said) -> bool:
        job = self.jobs.live.get(said.id)
        if job is None or job.state is not JobState.RUNNING or job.fence != said.fence:
            return False
        self.lanes.leave(job.priority, job.id)
        if said.verdict == "failed":
            if said.body:
                self.append("job.attempt_failed", job, says(said.body))
            self.append("job.failed", job, says(said.end))
            self.end(job, ran=True)
            return True
        self.append(EVENTS[said.verdict], job, says(said.body))
        if said.verdict in ("succeeded", "cancelled"):
            self.end(job, ran=True)
        elif job.cancel:
            self.cancel_after(job)
        elif said.verdict == "crashed" and said.end:
            self.append("job.failed", job, says(said.end))
            self.end(job, ran=True)
        else:
            self._again(job, said)
        return True

    def _again(self, job: Live, said: Said) -> None:
        """The job runs again: a retry costs an attempt, a crash or a release may need no wait.

        Who does not wait keeps what it has passed.
        """
        if said.verdict == "crashed":
            job.crashes += 1
        if said.verdict in ("crashed", "released") and not said.delay:
            self.enter(job)
            self.bell = True
            return
        if said.verdict == "retry":
            job.tries += 1
        state = JobState.RETRYING if said.verdict == "retry" else JobState.SCHEDULED
        self.wait(job, state, self.now.later(said.delay))
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

    def _renew(self, worker: str, job: Live | None) -> int:
        if job is None or job.state is not JobState.RUNNING:
            return 0
        entry = self.lanes.entry(job.priority, job.id)
        entry.owner, entry.since = worker, self.clock
        return 2 if job.cancel else 1
