"""The rules of the state machine for jobs that wait for others."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from .callers import Callers
from .clients import Spec
from .draws import families, few, numbers, picks, rarely, verdicts, workers
from .workers import Said, said


class Kin(Callers):
    """Who links jobs, and who tells them of ends: late, again, or in part."""

    @rule(jobs=families)
    def submit_family(self, jobs: list[Spec]) -> None:
        self.run(self.play.submit(jobs))

    @rule(jobs=families, worker=workers, verdicts=st.lists(verdicts, min_size=1, max_size=4))
    def live(self, jobs: list[Spec], worker: str, verdicts: list[Said]) -> None:
        """A family whose first jobs end at once, and that is told of it."""
        self.run(self.play.submit(jobs))
        self.work(worker, verdicts)
        self.run(self.play.deliver())

    def work(self, worker: str, verdicts: list[Said]) -> None:
        """A claim, and at once a verdict on each lease of it: most lives are that."""
        leases = self.run(self.play.claim(worker, len(verdicts)))
        batch = [
            said(lease, verdict, delay)
            for lease, (_, verdict, delay, _) in zip(leases, verdicts, strict=False)
        ]
        if batch:
            self.run(self.play.finish(batch))

    @rule(limit=few, idle=st.integers(0, 2), drop=numbers, again=picks, settled=st.booleans())
    def deliver(self, limit: int, idle: int, drop: int, again: list[int], settled: bool) -> None:
        """Perhaps not all that was taken, and perhaps not settled; or what was told before."""
        found = self.run(self.play.collect(limit, idle))
        taken = self.play.taken
        if drop % 3 == 0:
            found = found[1:]
        if drop % 4 == 0 and taken:
            self.run(self.play.join([taken[pick % len(taken)] for pick in again]))
        self.run(self.play.join(found))
        if settled:
            self.run(self.play.settle(found))

    @rule(pick=numbers, parents=picks, close=rarely, late=st.booleans())
    def extend(self, pick: int, parents: list[int], close: bool, late: bool) -> None:
        """An open job has more to wait for; one that is not there yet comes, or another."""
        if late:
            self.run(self.play.submit_late())
        if pick % 3 == 0:
            self.run(self.play.submit([Spec(5, before=pick)]))
        self.run(self.play.extend(pick, parents[pick % 2 :], close=close))

    @rule(long=st.integers(0, 3), jobs=few, mend=st.booleans(), look=st.integers(0, 3), lost=rarely)
    def look_after(self, long: int, jobs: int, mend: bool, look: int, lost: bool) -> None:
        if lost:
            self.run(self.lose_joiners())
        self.run(self.play.look_after(long, jobs, mend=mend, look=look))

    async def lose_joiners(self) -> None:
        """The server lost who was given what of the outbox."""
        await self.world.lose_joiners()
        self.rooms.links.lose_group()
