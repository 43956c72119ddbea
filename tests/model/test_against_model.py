"""Every verb in any order, beside the log in memory: by workers late, forgetful and wrong.

Server and memory must agree after each step; an audit of the whole finds nothing, not in between
and not when all is over.
"""

from __future__ import annotations

import asyncio
import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)

from millstream.core import events as ev

from .draws import (
    few,
    numbers,
    picks,
    verdicts,
    workers,
)
from .kin import Kin
from .workers import Said, said
from .world import PARTITION

EXAMPLES = int(os.environ.get("MILLSTREAM_TEST_EXAMPLES", 0)) or (
    settings.get_profile("millstream").max_examples * 6 // 10
)
STEPS = 50
CHORES = (
    "mend",
    "mend",
    "hear the bell",
    "come",
    "go",
    "archive",
    "flush scripts",
)


class AgainstModel(Kin):
    """All rules."""

    # -- from workers -------------------------------------------------------------

    @rule(worker=workers, limit=few, why=st.sampled_from(("free", "woken", "in doubt")))
    def claim(self, worker: str, limit: int, why: str) -> None:
        """Who waited has taken the bell's token; who is in doubt asks for what it holds."""
        if why == "woken":
            self.run(self.hear_the_bell())
        self.run(self.play.claim(worker, limit, held=why == "in doubt"))

    async def hear_the_bell(self) -> None:
        await self.world.redis.delete(self.world.keys.bell(PARTITION))
        self.rooms.bell = False

    @rule(worker=workers, verdicts=st.lists(verdicts, min_size=1, max_size=5))
    def work_at_once(self, worker: str, verdicts: list[Said]) -> None:
        self.work(worker, verdicts)

    @precondition(lambda self: self.play.leases)
    @rule(verdicts=st.lists(verdicts, min_size=1, max_size=5))
    def finish(self, verdicts: list[Said]) -> None:
        """Verdicts on any lease, on the same one twice, on fences that nobody was given."""
        lease = self.play.lease
        batch = [said(lease(pick), verdict, delay, off) for pick, verdict, delay, off in verdicts]
        self.run(self.play.finish(batch))

    @precondition(lambda self: self.play.leases)
    @rule(picks=st.lists(st.tuples(numbers, st.sampled_from("abc")), min_size=1, max_size=3))
    def checkpoint(self, picks: list[tuple[int, str]]) -> None:
        """Steps of any lease, and some of them again."""
        self.run(self.play.checkpoint(picks))
        self.run(self.play.progress([pick for pick, _ in picks]))

    @precondition(lambda self: self.play.leases)
    @rule(worker=workers, picks=picks)
    def renew(self, worker: str, picks: list[int]) -> None:
        leases = [(self.play.lease(pick).id, self.play.lease(pick).fence) for pick in picks]
        if any(lane.lost for _, lane in self.rooms.lanes.in_order()):
            leases = leases[:1]  # which of several are renewed before the refusal is not said
        self.run(self.play.renew(worker, leases))

    @precondition(lambda self: not any(lane.lost for _, lane in self.rooms.lanes.in_order()))
    @rule(worker=workers)
    def renew_all(self, worker: str) -> None:
        self.run(self.play.renew_all(worker))

    @precondition(lambda self: self.play.leases)
    @rule(pick=numbers, verdict=verdicts, worker=workers)
    def cancel_running(self, pick: int, verdict: Said, worker: str) -> None:
        """Its worker learns of it at the next renewal, and says something all the same."""
        lease = self.play.lease(pick)
        self.run(self.play.cancel([lease.id]))
        self.run(self.play.renew(worker, [(lease.id, lease.fence)]))
        if pick % 3 == 0:
            self.run(self.play.checkpoint([(pick, "a")]))
        if pick % 2:
            self.run(self.play.finish([said(lease, verdict[1], verdict[2])]))

    @rule(worker=workers, pick=numbers, minutes=st.sampled_from((None, None, 0, 2)))
    def die(self, worker: str, pick: int, minutes: int | None) -> None:
        """A job fails for good. It is discarded, or runs again; who read of its end comes late."""
        leases = self.run(self.play.claim(worker, 1))
        if leases:
            self.run(self.play.finish([said(leases[0], "failed", 1)]))
        found = self.play.ends([pick], 0, dead=True)
        if not found:
            return
        if minutes is None:
            self.run(self.play.discard(found))
        else:
            self.run(self.play.redrive(found, minutes))
        self.pass_time(pick % 3)
        late = self.play.ends([pick], 1, dead=True)
        if late:
            self.run(self.play.redrive(late, 0) if pick % 2 else self.play.discard(late))

    # -- maintenance, and what goes wrong -----------------------------------------

    @rule(limit=few)
    def promote(self, limit: int) -> None:
        self.run(self.play.promote(limit))

    @rule(lease=st.sampled_from((1, 1, 2, 3, 0)), budget=st.integers(1, 4), limit=few)
    def reap(self, lease: int, budget: int, limit: int) -> None:
        self.run(self.play.reap(lease, budget, limit))

    @rule(worker=workers, limit=few, budget=st.integers(1, 4))
    def crash(self, worker: str, limit: int, budget: int) -> None:
        """A worker takes jobs and is never heard of again."""
        self.run(self.play.claim(worker, limit))
        self.pass_time(1)
        self.run(self.play.reap(1, budget, limit))

    @rule(passed=st.sampled_from((1, 1, 1, 2, 1, 3, 1, 10, 60)), heard=st.booleans())
    def step(self, passed: int, heard: bool) -> None:
        """Time passes, for somebody perhaps who waits for the bell; nothing happens by itself."""
        if heard:
            self.run(self.hear_the_bell())
        self.pass_time(passed)

    def pass_time(self, minutes: int) -> None:
        self.run(self.play.pass_time(minutes))

    @rule(pick=numbers, worker=workers, mended=st.sampled_from((True, True, True, False)))
    def lose_group(self, pick: int, worker: str, mended: bool) -> None:
        """Mostly found and mended at once by whoever claims next."""
        lanes = [lane for lane in self.rooms.lanes.in_order() if not lane[1].lost]
        if lanes:
            priority, _ = lanes[pick % len(lanes)]
            stream = self.world.keys.ready(PARTITION, priority)
            self.run(self.world.redis.xgroup_destroy(stream, "workers"))
            self.rooms.lose_group(priority)
            self.run(self.pair.compare())
        if mended:
            self.run(self.play.claim(worker, 5))
            self.run(self.play.mend())

    @rule(chore=st.sampled_from(CHORES), worker=workers, number=numbers)
    def chore(self, chore: str, worker: str, number: int) -> None:
        """What is small, in one rule: else it would take the turns of all others."""
        match chore:
            case "mend":
                self.run(self.play.mend())
            case "come":
                self.run(self.play.announce(ev.WorkerStarted(worker, ["noop"])))
            case "go":
                self.run(self.play.announce(ev.WorkerStopped(worker)))
            case "archive":
                self.run(self.play.archive(max(0, self.rooms.log.seq + 1 - number % 5)))
            case "hear the bell":
                self.run(self.hear_the_bell())
            case _:
                self.run(self.world.redis.script_flush())

    # -- the end ------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if self.agreed:
                self.run(self._end())
        finally:
            self.run(self._close())
            self.runner.close()

    async def _end(self) -> None:
        await self.play.mend()
        await self.play.audit(drained=False)
        await self.play.drain()
        await self.play.audit(drained=True)

    async def _close(self) -> None:
        await self.world.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"expected no task left over, got {left}"


def test_the_server_does_what_the_model_says(redis_url: str) -> None:
    machine = type("OnThisServer", (AgainstModel,), {"url": redis_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            report_multiple_bugs=False,
        ),
    )
