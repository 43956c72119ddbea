"""The verbs on both sides: what callers of a partition do, each with what it remembers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

from millstream.core import events as ev
from millstream.core.ids import new_ids
from millstream.core.jobs import JobState
from millstream.core.operating import Mode
from millstream.core.queue import Claim, Finish, NewJob, Redrive
from tests.core.verbs.mill import ADA
from tests.invariants import check

from .commands import Ended, Given, New, Said, Twin
from .due import Instant
from .log import says
from .pair import Pair
from .requests import Sent, Spec, said
from .submitting import ONCE_MINUTES
from .world import MINUTE, PARTITION

BY = says(ev.body_of(ADA))
ENDS = ("job.succeeded", "job.failed", "job.cancelled")
T = TypeVar("T")


class Play:
    """All who use the partition; `leases` are all ever given, `sent` all submissions."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.model = pair.model
        self.world = pair.world
        self.leases: list[Given] = []
        self.sent: list[Sent] = []
        self.specs: dict[str, bytes] = {}

    # -- whom it may concern ------------------------------------------------------

    def lease(self, pick: int) -> Given:
        """Mostly a good lease, else any that was ever given."""
        live = self.model.jobs.live
        good = [
            one
            for one in self.leases
            if one.id in live
            and (live[one.id].state, live[one.id].fence) == (JobState.RUNNING, one.fence)
        ]
        return _mostly(good, self.leases, pick)

    def lives(self, pick: int) -> str:
        """Mostly a job that lives, else any."""
        return _mostly(list(self.model.jobs.live), self.pair.ids, pick)

    def ends(self, picks: Sequence[int], behind: int) -> list[Ended]:
        """Ends of jobs, mostly of those that are over; `behind`: not the last ones."""
        known = {id: end for id in self.pair.ids if (end := self._end_of(id, behind))}
        over = [end for id, end in known.items() if id not in self.model.jobs.live]
        return [_mostly(over, list(known.values()), pick) for pick in picks if known]

    def _end_of(self, id: str, behind: int) -> Ended | None:
        """An end of the job; an older one only while the server can know that it is."""
        ends = [one.version for one in self.model.log if one.job == id and one.type in ENDS]
        known = id in self.model.jobs.live or self.model.jobs.last_version(id, self.model.clock)
        if len(ends) <= behind or (behind and not known):
            return None
        priority = says(self.specs[id]).get("priority", 5)
        return Ended(id, priority, ends[-1 - behind], self.specs[id])

    # -- submissions --------------------------------------------------------------

    async def submit(self, specs: Sequence[Spec]) -> None:
        # Times are named before the call, as clients do: at an instant that `begin` leaves free.
        await self.world.begin(self.model.tick + 2)
        ids = list(new_ids(PARTITION, len(specs)))
        made = [self._job(id, spec) for id, spec in zip(ids, specs, strict=True)]
        self.pair.ids += ids
        sent = Sent(uuid.uuid4().hex, [one for one, _ in made], [real for _, real in made])
        self.sent.append(sent)
        accepted = await self.send(sent)
        if accepted is None:
            assert self.model.mode == "draining"
            self.sent.pop()
        self._note_specs()
        self.pair.ids = [id for id in self.pair.ids if id not in ids or id in self.specs]

    def _job(self, id: str, spec: Spec) -> tuple[New, NewJob]:
        """A job for the model, and the same for the server."""
        just_before = Instant(self.model.clock, self.model.tick + 1)
        now, _ = self.world.times[just_before.tick]
        submitted = ev.JobSubmitted(
            "noop",
            concurrency_key=spec.key,
            lock=spec.lock and spec.lock.digest,
            lock_scope=spec.lock and spec.lock.scope,
            lock_ms=spec.lock.minutes * MINUTE if spec.lock else None,
            priority=spec.priority,
            max_attempts=99,
            delay_ms=None if spec.delay is None else spec.delay * MINUTE,
            run_at=None if spec.run_at is None else now + spec.run_at * MINUTE,
            expires_at=None if spec.expires is None else now + spec.expires * MINUTE,
        )
        body = ev.body_of(submitted)
        at = None if spec.run_at is None else just_before.later(spec.run_at)
        expires = None if spec.expires is None else self.model.clock + spec.expires
        new = New(id, spec.priority, body, spec.delay, at, expires, spec.lock)
        policy = "replace" if spec.lock and spec.lock.replace else "keep"
        return new, NewJob(id, submitted, body, policy)

    async def send(self, sent: Sent) -> Any:
        return await self.pair.call(
            lambda: self.world.queue.submit(sent.reals, sent.command),
            lambda: self.model.submit(sent.command, sent.news),
            lambda receipt: (
                receipt.first_seq,
                receipt.again,
                [Twin(one.number, one.id, one.seq, one.state) for one in receipt.duplicates],
            ),
        )

    def _note_specs(self) -> None:
        """What was submitted, or replaced by it, as the archive has it."""
        for fact in self.model.log:
            if fact.type in ("job.submitted", "job.replaced"):
                self.specs[fact.job] = json.dumps(fact.body, separators=(",", ":")).encode()

    async def send_again(self, pick: int) -> None:
        """The reply was lost: the same command, which is done once while it is remembered.

        Later it would be new, and give ids twice that may have ended; nobody sends it then.
        """
        sent = self.sent[-1 - pick % len(self.sent)]
        minute, *_ = self.model.once[sent.command]
        remembered = self.model.clock - minute < ONCE_MINUTES
        if remembered or {new.id for new in sent.news} & self.model.jobs.live.keys():
            await self.send(sent)

    async def submit_taken(self, id: str) -> None:
        """Two jobs, of which the second has the id of one that lives: none is accepted."""
        taken = New(id, 5, ev.body_of(ev.JobSubmitted("noop")))
        fresh = taken._replace(id=next(new_ids(PARTITION, 1)))
        reals = [NewJob(new.id, ev.JobSubmitted("noop"), new.body) for new in (fresh, taken)]
        assert await self.send(Sent(uuid.uuid4().hex, [fresh, taken], reals)) is None

    # -- the other verbs ----------------------------------------------------------

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> list[Given]:
        claim: list[Claim] = []

        def leases(reply: Claim) -> list[Given]:
            claim.append(reply)
            return [
                Given(one.id, one.fence, one.attempt, one.crashes, one.spec) for one in reply.leases
            ]

        given = await self.pair.call(
            lambda: self.world.queue.claim(worker, limit, held=held),
            lambda: self.model.claim(worker, limit, held=held),
            leases,
        )
        if given is None:
            return []
        self.leases += given
        self.pair.check_ms(claim[0].now, self.model.now)
        self._check_next(claim[0].next_due)
        return given

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

    async def cancel(self, ids: Sequence[str]) -> None:
        await self.pair.call(
            lambda: self.world.queue.cancel(ids, ADA), lambda: self.model.cancel(ids, BY)
        )

    async def redrive(self, ends: Sequence[Ended]) -> None:
        reals = [Redrive(*end) for end in ends]
        await self.pair.call(
            lambda: self.world.queue.redrive(reals, ADA), lambda: self.model.redrive(ends, BY)
        )

    async def reschedule(self, ids: Sequence[str], delay: int) -> None:
        await self.pair.call(
            lambda: self.world.queue.reschedule(ids, f"+{delay * MINUTE}", ADA),
            lambda: self.model.reschedule(ids, delay, BY),
        )

    async def set_mode(self, mode: Mode) -> None:
        await self.pair.call(
            lambda: self.world.queue.set_mode(mode, ADA), lambda: self.model.set_mode(mode, BY)
        )

    async def limit(self, field: str, bound: int | None) -> None:
        event = ev.QueueConfigured("ada", "test", {field: bound})
        bounds = {field: "" if bound is None else str(bound)}
        await self.pair.call(
            lambda: self.world.queue.configure(event, bounds),
            lambda: self.model.configure({field: bound}, says(ev.body_of(event))),
        )

    async def promote(self, limit: int) -> None:
        next_due: list[int] = []

        def count(reply: tuple[int, int]) -> int:
            next_due.append(reply[1])
            return reply[0]

        await self.pair.call(
            lambda: self.world.queue.promote(limit), lambda: self.model.promote(limit)[0], count
        )
        self._check_next(next_due[0])

    def _check_next(self, next_due: int) -> None:
        expected = self.model.due.next()
        if expected is None:
            assert next_due == 0, f"next due: expected none, got {next_due}"
        else:
            self.pair.check_ms(next_due, expected)

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

    # -- the whole ----------------------------------------------------------------

    async def audit(self, *, drained: bool) -> None:
        """The invariants hold."""
        moved = {
            job: (self.model.clock - since) * MINUTE for job, since in self.model.due.since.items()
        }
        report = await check(
            self.world.url,
            [PARTITION],
            acknowledged=self.pair.ids,
            drained=drained,
            moved=moved,
        )
        report.require()

    async def drain(self) -> None:
        """Whoever holds a lease is gone, who waits for a time is cancelled, the others succeed."""
        await self.set_mode("open")
        await self.reap(0, 99, 1000)
        # Limits let a few run at a time, and those that end let others in.
        while given := await self.claim("w1", 1000):
            await self.finish([said(lease, "succeeded") for lease in given])
        if self.pair.ids:
            await self.cancel(self.pair.ids)


def _mostly(likely: Sequence[T], any_: Sequence[T], pick: int) -> T:
    """One by number: of four, three of the likely ones, if there are any."""
    among = likely if likely and pick % 4 else any_
    return among[pick // 4 % len(among)]
