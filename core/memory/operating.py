"""The verbs of operators: cancel, redrive, discard, reschedule, mode, purge, inspect, configure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..jobs import JobState
from ..operating import Mode, Purged, Standing
from ..queue import Redrive
from .jobs import Live
from .log import joined, said
from .refusals import check_bounds, check_cursor, check_delays, check_mode, check_time
from .submitting import Submitting

MODES: dict[Mode, str] = {
    "open": "queue.resumed",
    "paused": "queue.paused",
    "draining": "queue.draining",
}


class Operating(Submitting):
    """What operators and clients ask of a partition that has jobs. `by`: the body of an event."""

    def cancel(self, ids: Sequence[str], by: bytes) -> list[str]:
        """A waiting job ends at once; of a running one that is requested, once."""
        return [self.cancel_one(id, by) for id in ids]

    def cancel_one(self, id: str, by: bytes) -> str:
        """The same for one job."""
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.cancel:
            return "pending"
        if job.state is JobState.RUNNING:
            job.cancel = True
            self.append("job.cancel_requested", job, by)
            return "requested"
        self._cancel_waiting(job, by)
        return "cancelled"

    def _cancel_waiting(self, job: Live, by: bytes) -> None:
        self.append("job.cancelled", job, by)
        self.withdraw(job)
        self.end(job)

    # -- what has ended -----------------------------------------------------------

    def redrive(self, jobs: Sequence[Redrive], by: bytes) -> list[str]:
        """What has ended runs again from the start, does not expire any more, and holds no lock."""
        self.refuse_draining()
        check_delays(jobs)
        return [self._redrive(job, by) for job in jobs]

    def _redrive(self, ended: Redrive, by: bytes) -> str:
        if refused := self._not_at_end(ended.id, ended.version):
            return refused
        self.jobs.gone.pop(ended.id, None)
        job = Live(ended.id, ended.priority, ended.spec, JobState.QUEUED, version=ended.version)
        job.redriven, job.awaited = True, job.id in self.links.awaited
        self.jobs.live[job.id] = job
        if ended.delay_ms:
            at = self.now + ended.delay_ms
            self.append("job.redriven", job, joined(by, run_at=at))
            self.wait(job, JobState.SCHEDULED, at)
            return "scheduled"
        self.append("job.redriven", job, by)
        self.enter(job)
        self.bell = True
        return "queued"

    def discard(self, jobs: Sequence[tuple[str, int]], by: bytes) -> list[str]:
        """Nobody is interested in a job that failed any more: id and version of its end."""
        return [self._discard(id, version, by) for id, version in jobs]

    def _discard(self, id: str, version: int, by: bytes) -> str:
        if refused := self._not_at_end(id, version):
            return refused
        self.log.add("job.discarded", id, version + 1, by)
        self.jobs.remember(id, version + 1, self.log.seq)
        self.links.tell(id, "discarded")
        return "discarded"

    def _not_at_end(self, id: str, version: int) -> str | None:
        """Why a job is not at the end that somebody read, as far as is known here."""
        if id in self.jobs.live:
            return "live"
        return None if self.jobs.last_version(id, self.now) in (None, version) else "stale"

    # -- another time -------------------------------------------------------------

    def reschedule(self, ids: Sequence[str], due: int | str, by: bytes) -> list[str]:
        """Waiting jobs run at another time (ms), or '+N' ms from now; none is past."""
        check_time(due)
        at = self.now + int(due) if isinstance(due, str) and due.startswith("+") else int(due)
        at = max(at, self.now)
        return [self._reschedule(id, at, joined(by, run_at=at)) for id in ids]

    def _reschedule(self, id: str, at: int, body: bytes) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.state is JobState.RUNNING:
            return "running"
        if job.expired(at):
            return "too_late"
        if job.depends:
            return self._reschedule_dependent(job, at, body)
        if at == self.now and job.state in (JobState.QUEUED, JobState.BLOCKED):
            return "ready"
        self.withdraw(job)
        self.leave_gates(job)
        self.append("job.rescheduled", job, body)
        if at > self.now:
            self.wait(job, JobState.SCHEDULED, at)
            return "rescheduled"
        self.append("job.queued", job, said(cause="due"))
        self.enter(job)
        self.bell = True
        return "queued"

    def _reschedule_dependent(self, job: Live, at: int, body: bytes) -> str:
        """It has another time once it waits for no others any more."""
        if at == self.now and not job.hold:
            return "ready"
        self.append("job.rescheduled", job, body)
        self.append("job.blocked", job, said(on="jobs"))
        job.hold = str(at) if at > self.now else ""
        return "rescheduled"

    # -- the queue ----------------------------------------------------------------

    def set_mode(self, mode: Mode, by: bytes) -> bool:
        """Whether that changed anything. Who waits for an end of the pause is told."""
        check_mode(mode)
        if mode == self.mode:
            return False
        self.bell = self.bell or self.mode == "paused"
        self.mode = mode
        self.tell(MODES[mode], by)
        return True

    def inspect(self) -> Standing:
        """What a lost group held is told as waiting."""
        lanes = [lane for _, lane in self.lanes.in_order()]
        running = sum(len(lane.leased()) for lane in lanes)
        return Standing(
            self.now,
            self.mode,
            sum(len(lane.entries) for lane in lanes) - running,
            len(self.due.at),
            sum(len(gate.waiting) for gate in self.gates.gates.values()) + len(self.links.seen),
            running,
            min((lane.waiting()[0].at for lane in lanes if lane.waiting()), default=0),
            self.next_due(),
        )

    # -- purge --------------------------------------------------------------------

    def purge(
        self, states: Collection[JobState], cursor: str, limit: int, by: bytes, *, dry: bool
    ) -> Purged:
        """Cancel a part of those that wait; `dry`: count those that wait for a time.

        First those that wait for a time, a limit or other jobs, all at once. The cursor then names
        the time of that call: those that may run and did by then come next, `limit` a call.
        """
        check_cursor(cursor)
        if dry:
            return Purged("", len(self._due_in(states)))
        if cursor.startswith("ready:"):
            return self._purge_ready(cursor, limit, by)
        for id in (found := self._due_in(states)):
            self._cancel_waiting(self.jobs.live[id], by)
        count = len(found)
        if JobState.BLOCKED in states:
            count += self._purge_blocked(by) + self._purge_dependents(by)
        self._purged(count, by)
        return Purged(f"ready:{self.now}" if JobState.QUEUED in states else "", count)

    def _purge_ready(self, cursor: str, limit: int, by: bytes) -> Purged:
        until = int(cursor.removeprefix("ready:"))
        found = [
            entry.job
            for _, lane in self.lanes.in_order()
            for entry in lane.waiting()
            if entry.at <= until
        ][:limit]
        for id in found:
            self._cancel_waiting(self.jobs.live[id], by)
        self._purged(len(found), by)
        return Purged(cursor if len(found) == limit else "", len(found))

    def _purged(self, count: int, by: bytes) -> None:
        if count:
            self.tell("queue.purged", joined(by, count=count))

    def _due_in(self, states: Collection[JobState]) -> list[str]:
        return [id for id in self.due.order() if self.jobs.live[id].state in states]

    def _purge_blocked(self, by: bytes) -> int:
        """In the order they began to wait; who is let in by the end of another stays."""
        gates = self.gates.gates.values()
        waits = {id: seq for gate in gates for id, (_, seq) in gate.waiting.items()}
        count = 0
        for id in sorted(waits, key=waits.__getitem__):
            job = self.jobs.live.get(id)
            if job and job.state is JobState.BLOCKED:
                self._cancel_waiting(job, by)
                count += 1
        return count

    def _purge_dependents(self, by: bytes) -> int:
        seen = self.links.seen
        waiting = sorted(seen, key=lambda id: (seen[id], id))
        for id in waiting:
            self._cancel_waiting(self.jobs.live[id], by)
        return len(waiting)

    # -- limits -------------------------------------------------------------------

    def configure(self, by: bytes, bounds: Mapping[str, str]) -> None:
        """Change limits. Jobs that run count at once, and who waits is let in as it is now."""
        check_bounds(bounds)
        self.tell("queue.configured", by)
        fresh = [self.gates.set(limit, bound) for limit, bound in bounds.items()]
        if any(fresh):
            self._count_running()
        self.let_in_anywhere(10**6, 100)
        self.bell = True

    def _count_running(self) -> None:
        for _, lane in self.lanes.in_order():
            for entry in lane.leased():
                for gate in self.gates.of(self.jobs.live[entry.job]):
                    if not gate.name.startswith("r"):
                        gate.holders.add(entry.job)
