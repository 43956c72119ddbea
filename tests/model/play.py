"""All who use the partition, on both sides, and what must hold in the end."""

from __future__ import annotations

from tests.invariants import check

from .clients import Clients
from .laws import broken_laws
from .operators import Operators
from .planners import Planners
from .workers import Workers, said
from .world import MINUTE, PARTITION

ROUNDS = 6
"""How often a drain looks for what runs next, before it cancels what is left."""

LONGEST_DEBT = 180
"""Minutes after which any rate lets a job in: two starts an hour apart are the most that was paid
ahead, also under a rate that is another by now."""


class Play(Clients, Workers, Operators, Planners):
    """All verbs on both sides."""

    async def pass_time(self, minutes: int) -> None:
        await self.pair.step(minutes)

    async def audit(self, *, drained: bool) -> None:
        """The invariants hold, and the laws of limits."""
        report = await check(
            self.world.url,
            [PARTITION],
            acknowledged=list(self.pair.specs),
            drained=drained,
            moved=self._moved(),
        )
        report.require()
        assert not (broken := broken_laws(self.rooms)), broken

    def _moved(self) -> dict[str, int]:
        """Job that waits for a time → by how much that was moved since: its last event set it."""
        last = {one.job: one.time for one in self.rooms.log}
        minute = self.rooms.now // MINUTE
        return {job: (minute - last[job] // MINUTE) * MINUTE for job in self.rooms.due.at}

    async def drain(self) -> None:
        """Whoever holds a lease is gone; as time passes, always some of those that live can run."""
        await self.set_mode("open")
        self.late.clear()
        for _ in range(ROUNDS):
            if not self.rooms.jobs.live:
                return
            await self.reap(0, 99, 1000)
            await self.pass_time(LONGEST_DEBT)
            await self.promote(1000)
            before = self.rooms.log.seq
            await self._end_waits()
            given = await self.claim("w1", 1000)
            if given:
                await self.finish([said(lease, "succeeded") for lease in given])
            idle = self.rooms.log.seq == before
            live = self.rooms.jobs.live.values()
            stuck = [job for job in live if idle and not job.depends]
            assert not stuck, f"stuck: {stuck}"
        await self.cancel(self.pair.ids)
        await self.deliver()

    async def _end_waits(self) -> None:
        """All ends are told; who waits still does so for who lives, or may be run again."""
        for job in [one for one in self.rooms.links.parents if self.rooms.links.is_open(one)]:
            await self.close(job)
        await self.deliver()
        await self.look_after(0, 1000, mend=True)
        await self.deliver()
        ends, live = self.ends_known(), self.rooms.jobs.live
        for job, parents in self.rooms.links.parents.items():
            stays = live[job].head.on_parent_failure == "wait"
            left = [one for one in parents if one not in live and not (stays and one in ends)]
            assert not left, f"expected job {job} to be told of {left}"
