"""Workers on both sides: what they ask of a partition, and the maintenance they do."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.hot import Lease
from millstream.core.memory import MemoryRenewer
from millstream.core.progressing import new_told
from millstream.core.queue import Claim, Finish, PartitionQueue, Verdict
from millstream.core.stepping import new_checkpoint
from tests.core.verbs.mill import BODIES, FAULT

from .pair import Told
from .stage import Stage
from .world import MINUTE, PARTITION

Said = tuple[int, Verdict, int, int]


class Workers(Stage):
    """All workers of the partition."""

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> list[Lease]:
        both = await self.pair.call(
            lambda queue: queue.claim(worker, limit, held=held), told=_claimed
        )
        given = both.memory.leases if both else []
        self.leases += given
        return given

    async def finish(self, verdicts: Sequence[Finish]) -> None:
        await self.pair.call(lambda queue: queue.finish(verdicts))

    async def checkpoint(self, picks: Sequence[tuple[int, str]]) -> None:
        """Steps of any lease, stale ones too; some of them again."""
        leases = [self.lease(pick) for pick, _ in picks]
        steps = [
            new_checkpoint(lease.id, lease.fence, ev.JobCheckpointed(name, wrap(lease.fence)))
            for lease, (_, name) in zip(leases, picks, strict=True)
        ]
        steps.append(steps[0])  # its reply was lost, and it is sent again
        await self.pair.call(lambda queue: queue.checkpoint(steps))

    async def progress(self, picks: Sequence[int]) -> None:
        """Reports under any lease, stale ones too."""
        leases = [self.lease(pick) for pick in picks]
        reports = [new_told(one.id, one.fence, ev.JobProgressed(0.5)) for one in leases]
        await self.pair.call(lambda queue: queue.progress(reports))

    async def renew(self, worker: str, leases: Sequence[tuple[str, int]]) -> None:
        memory = MemoryRenewer({PARTITION: self.pair.memory}, worker)

        async def real(_: PartitionQueue) -> list[int]:
            return self.world.renew(worker, leases)

        async def in_memory(_: PartitionQueue) -> list[int]:
            return memory.renew(PARTITION, leases)

        await self.pair.call(real, in_memory)

    async def renew_all(self, worker: str) -> None:
        async def real(_: PartitionQueue) -> None:
            self.world.renew_all(worker)

        async def in_memory(_: PartitionQueue) -> None:
            MemoryRenewer({PARTITION: self.pair.memory}, worker).renew_all(PARTITION)

        await self.pair.call(real, in_memory)

    async def promote(self, limit: int) -> None:
        await self.pair.call(
            lambda queue: queue.promote(limit),
            told=lambda reply: Told(reply[0], reply[1:]),
            any_order=True,
        )

    async def reap(self, lease: int, budget: int, limit: int) -> None:
        await self.pair.call(lambda queue: queue.reap(lease * MINUTE, budget, limit))

    async def mend(self) -> None:
        await self.pair.call(lambda queue: queue.mend())

    async def announce(self, event: ev.WorkerStarted | ev.WorkerStopped) -> None:
        await self.pair.call(lambda queue: queue.announce(event))

    async def archive(self, seq: int) -> None:
        await self.pair.call(lambda queue: queue.trim(seq, 1))


def _claimed(reply: Claim) -> Told:
    leases = [
        (one.id, one.fence, one.attempt, one.crashes, one.spec, one.steps) for one in reply.leases
    ]
    assert all(one.now == reply.now for one in reply.leases)
    return Told(leases, (reply.now, reply.next_due))


def said(lease: Lease, verdict: Verdict, delay: int = 0, off: int = 0) -> Finish:
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
    return Finish(lease.id, lease.fence + off, verdict, body, ms, end)
