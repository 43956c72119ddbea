"""Workers on both sides: what they ask of a partition, and the maintenance they do."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.core import events as ev
from millstream.core.queue import Claim, Finish, Verdict
from tests.core.verbs.mill import BODIES, FAULT

from .due import Instant
from .log import says
from .stage import Stage
from .working import Claimed, Given, Said
from .world import MINUTE


class Workers(Stage):
    """All workers of the partition."""

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> list[Given]:
        claim: list[Claim] = []
        again: list[Instant | None] = []

        def leases(reply: Claim) -> list[Given]:
            claim.append(reply)
            return [
                Given(one.id, one.fence, one.attempt, one.crashes, one.spec) for one in reply.leases
            ]

        given = await self.pair.call(
            lambda: self.world.queue.claim(worker, limit, held=held),
            lambda: self._claimed(again, self.model.claim(worker, limit, held=held)),
            leases,
        )
        if given is None:
            return []
        self.leases += given
        self.pair.check_ms(claim[0].now, self.model.now)
        self.check_next(claim[0].next_due, again[0])
        return given

    def _claimed(self, again: list[Instant | None], claimed: Claimed) -> list[Given]:
        again.append(claimed.next_due)
        return claimed.given

    async def finish(self, said: Sequence[Said]) -> None:
        reals = [
            Finish(one.id, one.fence, one.verdict, one.body, one.delay * MINUTE, one.end)
            for one in said
        ]
        await self.pair.call(
            lambda: self.world.queue.finish(reals), lambda: self.model.finish(said)
        )

    async def renew(self, worker: str, leases: Sequence[tuple[str, int]]) -> None:
        async def real() -> list[int]:
            return self.world.renew(worker, leases)

        await self.pair.call(real, lambda: self.model.renew(worker, leases))

    async def promote(self, limit: int) -> None:
        next_due: list[int] = []

        def count(reply: tuple[int, int]) -> int:
            next_due.append(reply[1])
            return reply[0]

        await self.pair.call(
            lambda: self.world.queue.promote(limit),
            lambda: self.model.promote(limit),
            count,
            any_order=True,
        )
        self.check_next(next_due[0], self.model.next_due())

    async def reap(self, lease: int, budget: int, limit: int) -> None:
        await self.pair.call(
            lambda: self.world.queue.reap(lease * MINUTE, budget, limit),
            lambda: self.model.reap(lease, budget, limit),
        )

    async def mend(self) -> None:
        await self.pair.call(self.world.queue.mend, self.model.mend)

    async def announce(self, event: ev.WorkerStarted | ev.WorkerStopped) -> None:
        await self.pair.call(
            lambda: self.world.queue.announce(event),
            lambda: self.model.announce(event.name, says(ev.body_of(event))),
        )

    async def archive(self, seq: int) -> None:
        await self.pair.call(lambda: self.world.queue.trim(seq, 1), lambda: self.model.trim(seq))


def said(lease: Given, verdict: Verdict, delay: int = 0, off: int = 0) -> Said:
    """A verdict with a body that fits it, on a fence that is `off` the lease's."""
    event, ms = BODIES[verdict], delay * MINUTE
    if verdict == "retry":
        event = ev.JobAttemptFailed(FAULT, ms)
    elif verdict == "snoozed":
        event = ev.JobSnoozed(ms)
    elif verdict == "released":
        event = ev.JobReleased("drain", ms)
    elif verdict == "crashed":
        event = ev.JobCrashed("w1", lease.crashes + 1, "killed by SIGKILL", ms * (1 - delay % 2))
    body, end = ev.body_of(event), b""
    if verdict == "crashed" and delay % 2:
        end = ev.body_of(ev.JobFailed("poison"))
    if verdict == "failed":
        end = ev.body_of(ev.JobFailed("exhausted"))
        body = body if delay else b""  # it may fail without a failed attempt
    return Said(lease.id, lease.fence + off, verdict, delay, body, end)
