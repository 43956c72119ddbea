"""How jobs pass gates, wait at them, and leave; and how a job ends, which lets others pass."""

from __future__ import annotations

from ..jobs import JobState
from .gates import Gate, Rate
from .jobs import Live
from .log import said
from .rooms import Rooms

AT_ONCE = 10
"""How many are let in where one has left: more than one, since some may have expired."""


class Passing(Rooms):
    """The steps of verbs that have to do with limits."""

    # -- who starts ---------------------------------------------------------------

    def pass_gates(self, job: Live) -> bool:
        """Whether the job may start; else it waits at the first gate that is closed.

        It keeps what it has passed before that gate, a rate too, and nothing behind it: so nobody
        who waits holds what somebody before him in the order of gates waits for.
        """
        passed: list[Gate] = []
        gates = self.gates.of(job)
        for place, gate in enumerate(gates):
            open_ = gate.bound is None or (not gate.waiting and gate.room(self.now) > 0)
            if not open_ and job.id not in gate.holders:
                for held in passed:
                    held.holders.add(job.id)
                self._park(job, gate)
                self._leave(job, gates[place + 1 :])
                return False
            passed.append(gate)
        for gate in passed:
            if gate.name.startswith("r"):
                gate.holders.discard(job.id)
                gate.pay(1, self.now)
                self._arm(gate)
            else:
                gate.holders.add(job.id)
        return True

    def _park(self, job: Live, gate: Gate) -> None:
        self.lanes.leave(job.priority, job.id)
        self.append("job.blocked", job, said(on=gate.told))
        job.state, job.fence = JobState.BLOCKED, 0
        gate.waiting[job.id] = job.priority, self.log.seq
        self._arm(gate)

    def _arm(self, gate: Gate) -> None:
        """Look at a rate again when its next start is on time, at any other soon if it has room.

        Not while as many as may come at once have been let in: they pay when they start.
        """
        rate = gate.bound
        if not gate.waiting:
            return
        if isinstance(rate, Rate):
            at = gate.room_at(self.now) if len(gate.holders) < rate.burst else None
        else:
            at = self.now if gate.room(self.now) > 0 else None
        if at is not None:
            self.gates.timers[gate.name] = at
            if self.gates.next()[0] == gate.name:
                self.bell = True

    # -- who is let in ------------------------------------------------------------

    def let_in(self, gate: Gate, most: int) -> int:
        """Whose turn it is enters its lane, while there is room; how many left the gate."""
        count = 0
        while count < most and gate.waiting and gate.room(self.now) > 0:
            job = self.jobs.live[gate.queue()[0]]
            del gate.waiting[job.id]
            self._let_through(gate, job)
            count += 1
        if count:
            self.bell = True
        self._arm(gate)
        return count

    def _let_through(self, gate: Gate, job: Live) -> None:
        if job.expired(self.now):
            self.fail(job, "expired")
            return
        gate.holders.add(job.id)
        self.append("job.queued", job, said(cause="limit"))
        self.enter(job)

    def leave_gates(self, job: Live, *, ran: bool = False) -> None:
        """Let go of all that the job has passed; of a rate only if it did not start."""
        gates = self.gates.of(job)
        self._leave(job, [gate for gate in gates if not (ran and gate.name.startswith("r"))])

    def vacate(self, job: Live, gates: list[Gate]) -> list[Gate]:
        """Let go of those; which of them the job held."""
        held = [gate for gate in gates if job.id in gate.holders]
        for gate in held:
            gate.holders.remove(job.id)
        return held

    def _leave(self, job: Live, gates: list[Gate]) -> None:
        for gate in self.vacate(job, gates):
            self.let_in(gate, AT_ONCE)

    def let_in_anywhere(self, most: int, each: int) -> None:
        """Let in wherever there is room: `most` in all, `each` at a gate."""
        crowded = self.gates.crowded()
        for name in [one for one in self.sweep if one in crowded] or crowded:
            if most > 0:
                most -= self.let_in(self.gates.gates[name], min(most, each))

    def ring_timers(self, most: int) -> None:
        """Let in at gates whose time has come."""
        timers, now = self.gates.timers, self.now
        for name in [one for one in self.gates.next() if timers[one] <= now][:most]:
            del timers[name]
            self.let_in(self.gates.gates[name], most)

    # -- who ends -----------------------------------------------------------------

    def end(self, job: Live, *, ran: bool = False) -> None:
        """The job is over by the last event; others may be let in. `ran`: it was running."""
        self.jobs.end(job, self.log.seq)
        self.locks.free(job)
        if job.awaited:
            self.links.tell(job.id, self.log[-1].type.removeprefix("job."))
        self.leave_gates(job, ran=ran)

    def fail(self, job: Live, reason: str, *, ran: bool = False) -> None:
        self.append("job.failed", job, said(reason=reason))
        self.end(job, ran=ran)

    def cancel_after(self, job: Live) -> None:
        """End a job that ran, whose cancellation was requested."""
        self.append("job.cancelled", job, b"{}")
        self.end(job, ran=True)
