"""The verbs, one method each: what each replies, and what it does to the rooms.

Replies are those of `millstream.core.queue`; what a call is refused with is raised, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.errors import GroupLost, IdTaken, LogLost, QueueDraining
from millstream.core.jobs import JobState
from millstream.core.operating import Mode
from millstream.core.queue import Verdict

from .commands import Ended, Given, New, Said
from .due import Instant
from .gates import QUEUE
from .jobs import Live
from .lanes import Entry, Lane
from .log import Fact, says
from .partition import Partition

ONCE_MINUTES = 10
"""How long a submission is remembered by its command id."""

EVENTS: dict[Verdict, str] = {
    "succeeded": "job.succeeded",
    "retry": "job.attempt_failed",
    "snoozed": "job.snoozed",
    "released": "job.released",
    "cancelled": "job.cancelled",
}


MODES: dict[Mode, str] = {
    "open": "queue.resumed",
    "paused": "queue.paused",
    "draining": "queue.draining",
}


class Model(Partition):
    """A partition under its verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.once: dict[str, tuple[int, int]] = {}
        self.archived = 0

    # -- from outside -------------------------------------------------------------

    def submit(self, command: str, jobs: Sequence[New]) -> tuple[int, bool]:
        """All or none: (seq of the first, whether this command was done before).

        All are submitted before any that is due already is promoted, and no more are promoted than
        were submitted: who waited longer goes first.
        """
        first, minute = self.once.get(command, (0, 0))
        if first and self.clock - minute < ONCE_MINUTES:
            return first, True
        self._refuse_draining()
        ids = [job.id for job in jobs]
        if len(set(ids)) < len(ids) or self.jobs.live.keys() & set(ids):
            raise IdTaken
        first = self.log.seq + 1
        at_once = [self._accept(job) for job in jobs]
        past = any(id in self.due.at and self.due.at[id] <= self.now for id in ids)
        promoted = self.promote_due(len(jobs)) if past else 0
        self.once[command] = first, self.clock
        self.bell = self.bell or any(at_once) or promoted > 0
        return first, False

    def _refuse_draining(self) -> None:
        if self.mode == "draining":
            raise QueueDraining

    def _accept(self, new: New) -> bool:
        """One job; whether it may run at once."""
        job = Live(new.id, new.priority, new.body, JobState.QUEUED, expires=new.expires)
        self.jobs.live[job.id] = job
        self.log.append(Fact("job.submitted", job.id, 1, says(new.body)))
        at = new.run_at if new.delay is None else self.now.later(new.delay)
        if at is None:
            self.enter(job)
        else:
            self.wait(job, JobState.SCHEDULED, at)
        return at is None

    def cancel(self, ids: Sequence[str], by: dict[str, Any]) -> list[str]:
        """A waiting job ends at once; of a running one that is requested, once."""
        return [self._cancel(id, by) for id in ids]

    def _cancel(self, id: str, by: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.cancel:
            return "pending"
        if job.state is JobState.RUNNING:
            job.cancel = True
            self.append("job.cancel_requested", job, by)
            return "requested"
        self.append("job.cancelled", job, by)
        self.withdraw(job)
        self.end(job)
        return "cancelled"

    def redrive(self, jobs: Sequence[Ended], by: dict[str, Any]) -> list[str]:
        """What has ended runs again from the start, and does not expire any more."""
        self._refuse_draining()
        return [self._redrive(job, by) for job in jobs]

    def _redrive(self, ended: Ended, by: dict[str, Any]) -> str:
        id, priority, version, spec = ended
        if id in self.jobs.live:
            return "live"
        if self.jobs.last_version(id, self.clock) not in (None, version):
            return "stale"
        self.jobs.gone.pop(id, None)
        job = Live(id, priority, spec, JobState.QUEUED, version=version, redriven=True)
        self.jobs.live[id] = job
        self.append("job.redriven", job, by)
        self.enter(job)
        self.bell = True
        return "queued"

    def reschedule(self, ids: Sequence[str], delay: int, by: dict[str, Any]) -> list[str]:
        """Waiting jobs have another time to run; who could run now already keeps its place."""
        return [self._reschedule(id, self.now.later(delay), by) for id in ids]

    def _reschedule(self, id: str, at: Instant, by: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.state is JobState.RUNNING:
            return "running"
        if job.expired(at.minute):
            return "too_late"
        now = at == self.now
        if now and job.state in (JobState.QUEUED, JobState.BLOCKED):
            return "ready"
        self.withdraw(job)
        self.leave_gates(job)
        self.append("job.rescheduled", job, {**by, "run_at": at})
        if not now:
            self.wait(job, JobState.SCHEDULED, at)
            return "rescheduled"
        self.append("job.queued", job, {"cause": "due"})
        self.enter(job)
        self.bell = True
        return "queued"

    def set_mode(self, mode: Mode, by: dict[str, Any]) -> bool:
        """Whether that changed anything. Who waits hears of it when a pause is over."""
        if mode == self.mode:
            return False
        self.bell = self.bell or self.mode == "paused"
        self.mode = mode
        self.log.append(Fact(MODES[mode], "", 0, by))
        return True

    def configure(self, bounds: dict[str, int | None], body: dict[str, Any]) -> None:
        """Set limits, or take them away (None). What runs counts from the first time on."""
        self.log.append(Fact("queue.configured", "", 0, body))
        fresh = False
        for name, bound in bounds.items():
            known = name in self.gates.bounds
            if bound is None and name == QUEUE:
                self.gates.bounds.pop(name, None)
            elif bound is not None or known:
                self.gates.bounds[name] = bound
                fresh = fresh or not known
        if fresh:
            self._count_running()
        for gate in list(self.gates.parked):
            self.let_in(gate, 100)
        self.bell = True

    def _count_running(self) -> None:
        for _, lane in self.lanes.in_order():
            for entry in lane.entries:
                if entry.owner:
                    for gate in self.gates.of(*self.jobs.live[entry.job].kind):
                        self.gates.passed[gate].add(entry.job)

    # -- from workers -------------------------------------------------------------

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

    # -- maintenance --------------------------------------------------------------

    def promote(self, limit: int) -> tuple[int, Instant | None]:
        """How many were promoted, and when the next is due."""
        before = self.log.seq
        promoted = self.promote_due(limit)
        for gate in list(self.gates.parked):
            self.let_in(gate, limit)  # finds nobody, unless a step was lost
        self.bell = self.bell or self.log.seq > before
        return promoted, self.due.next()

    def reap(self, lease: int, budget: int, limit: int) -> tuple[int, bool]:
        """Take back leases silent for `lease` minutes, `limit` in each lane."""
        reaped, more, before = 0, False, self.log.seq
        for _, lane in self.lanes.in_order():
            if lane.lost:
                raise GroupLost
            silent = lane.silent(self.clock, lease)[:limit]
            for entry in silent:
                self._expire(entry, budget)
            reaped += len(silent)
            more = more or len(silent) == limit
        self.bell = self.bell or self.log.seq > before
        return reaped, more

    def _expire(self, entry: Entry, budget: int) -> None:
        job = self.jobs.live[entry.job]
        self.lanes.leave(job.priority, job.id)
        job.crashes += 1
        self.append("job.lease_expired", job, {"worker": entry.owner, "crashes": job.crashes})
        if job.cancel:
            self.cancel_after(job)
        elif job.crashes >= budget:
            self.fail(job, "poison")
        else:
            self.enter(job)

    def lose_group(self, priority: int) -> None:
        """No verb: the server lost a consumer group."""
        self.lanes.lanes[priority].lose()

    def mend(self) -> int:
        """Lost groups are made again; jobs that were given in their lanes enter anew."""
        moved = 0
        for _, lane in self.lanes.in_order():
            if lane.lost:
                lane.lost, self.bell = False, True
                given = [entry.job for entry in lane.entries if entry.given]
                for id in given:
                    self._take_back(self.jobs.live[id])
                moved += len(given)
        return moved

    def _take_back(self, job: Live) -> None:
        self.lanes.leave(job.priority, job.id)
        if job.cancel:
            self.cancel_after(job)
        else:
            self.append("job.queued", job, {"cause": "group_lost"})
            self.enter(job)

    def trim(self, archived: int) -> int:
        """Note how far the archive is; it never goes back, and is never ahead of the log."""
        if max(archived, self.archived) > self.log.seq:
            raise LogLost
        self.archived = max(archived, self.archived)
        return 0
