"""Clients on both sides: what they submit, and submit again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from millstream.core import events as ev
from millstream.core.ids import new_ids
from millstream.core.submitting import NewJob, Policy, Receipt, Scope

from .due import Instant
from .locks import Lock
from .pair import Pair
from .stage import Stage
from .submitting import ONCE_MINUTES, Accepted, New, Twin
from .world import MINUTE, PARTITION

SCOPES: dict[str, tuple[Scope, int]] = {
    "a": ("unfinished", 0),
    "b": ("waiting", 0),
    "c": ("period", 2),
}
"""First letter of a digest → the scope of its lock, and minutes."""
ONCE = 3


class Spec(NamedTuple):
    """What is submitted: minutes of its delay, of its run time from now on, and of its expiry.

    once  a further lock, of the request
    """

    priority: int
    delay: int | None = None
    run_at: int | None = None
    expires: int | None = None
    kind: str = "noop"
    key: str | None = None
    rate_key: str | None = None
    lock: str | None = None
    policy: Policy = "keep"
    once: str | None = None


class Sent(NamedTuple):
    """A submission, as it can be sent again."""

    command: str
    news: list[New]
    reals: list[NewJob]


class Clients(Stage):
    """`sent` are all submissions that were accepted, or refused by a queue that drains."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.sent: list[Sent] = []

    async def submit(self, specs: Sequence[Spec]) -> None:
        # Times are named before the call, as clients do: at an instant that `begin` leaves free.
        await self.world.begin(self.model.tick + 2)
        ids = list(new_ids(PARTITION, len(specs)))
        made = [self._job(id, spec) for id, spec in zip(ids, specs, strict=True)]
        self.pair.ids += ids
        sent = Sent(uuid.uuid4().hex, [one for one, _ in made], [real for _, real in made])
        self.sent.append(sent)
        accepted = await self.send(sent)
        assert (accepted is None) == (self.model.mode == "draining")

    def _job(self, id: str, spec: Spec) -> tuple[New, NewJob]:
        """A job for the model, and the same for the server."""
        just_before = Instant(self.model.clock, self.model.tick + 1)
        now, _ = self.world.times[just_before.tick]
        scope, period = SCOPES[spec.lock[0]] if spec.lock else (None, 0)
        submitted = ev.JobSubmitted(
            spec.kind,
            concurrency_key=spec.key,
            rate_key=spec.rate_key,
            lock=spec.lock,
            lock_scope=scope,
            lock_ms=period * MINUTE or None,
            priority=spec.priority,
            max_attempts=99,
            delay_ms=None if spec.delay is None else spec.delay * MINUTE,
            run_at=None if spec.run_at is None else now + spec.run_at * MINUTE,
            expires_at=None if spec.expires is None else now + spec.expires * MINUTE,
        )
        body = ev.body_of(submitted)
        at = None if spec.run_at is None else just_before.later(spec.run_at)
        expires = None if spec.expires is None else self.model.clock + spec.expires
        locks = [Lock(spec.once, "period", ONCE)] if spec.once else []
        if spec.lock and scope:
            locks.append(Lock(spec.lock, scope, period, spec.policy == "replace"))
        new = New(id, spec.priority, body, spec.delay, at, expires, tuple(locks))
        once = (spec.once, ONCE * MINUTE) if spec.once else None
        return new, NewJob(id, submitted, body, spec.policy, once)

    async def send(self, sent: Sent) -> Any:
        return await self.pair.call(
            lambda: self.world.queue.submit(sent.reals, sent.command),
            lambda: self.model.submit(sent.command, sent.news),
            _accepted,
        )

    async def send_again(self, pick: int) -> None:
        """The reply was lost: the same command, which is done once while it is remembered.

        Later it would be new, and give ids twice that may have ended; nobody sends it then.
        """
        sent = self.sent[-1 - pick % len(self.sent)]
        minute, _ = self.model.once.get(sent.command, (-ONCE_MINUTES, None))
        remembered = self.model.clock - minute < ONCE_MINUTES
        if remembered or {new.id for new in sent.news} & self.model.jobs.live.keys():
            await self.send(sent)

    async def submit_taken(self, id: str) -> None:
        """Two jobs, of which the second has the id of one that lives: none is accepted."""
        taken = New(id, 5, ev.body_of(ev.JobSubmitted("noop")))
        fresh = taken._replace(id=next(new_ids(PARTITION, 1)))
        reals = [NewJob(new.id, ev.JobSubmitted("noop"), new.body) for new in (fresh, taken)]
        assert await self.send(Sent(uuid.uuid4().hex, [fresh, taken], reals)) is None


def _accepted(receipt: Receipt) -> Accepted:
    twins = [Twin(one.number, one.id, one.seq, one.state) for one in receipt.duplicates]
    return Accepted(receipt.first_seq, receipt.again, tuple(twins))
