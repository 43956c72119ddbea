"""Clients on both sides: what they submit, and submit again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from millstream.core import events as ev
from millstream.core.ids import new_ids
from millstream.core.submitting import NewJob, Policy, Scope, new_job

from .families import Families, Link
from .pair import Both, Pair
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
    after  whom it waits for, by numbers; on_failure: what becomes of it when one does not succeed
    open  it waits for more that may come; before: it waits for no one, but an open job for it
    late  it is submitted only later
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
    after: Sequence[int] = ()
    on_failure: str = "fail"
    open: bool = False
    before: int | None = None
    late: bool = False

    @property
    def waits(self) -> bool:
        """Whether it waits for others, or for itself to be complete."""
        return bool(self.after) or self.open


class Sent(NamedTuple):
    """A submission as it can be sent again, in the times of each side."""

    command: str
    real: list[NewJob]
    memory: list[NewJob]


class Clients(Families):
    """`sent` are all submissions that were accepted, or refused by a queue that drains."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.sent: list[Sent] = []

    async def submit(self, specs: Sequence[Spec]) -> None:
        # Times are named before the call, as clients do: at an instant that `begin` leaves free.
        ids = list(new_ids(PARTITION, len(specs)))
        links = await self.link(ids, specs) if any(_is_linked(spec) for spec in specs) else []
        now = await self.pair.before_the_next()
        made = [_job(id, spec, now) for id, spec in zip(ids, specs, strict=True)]
        made = [_linked(*one) for one in zip(made, links, strict=True)] if links else made
        self.pair.ids += ids
        self.late += [one for one, spec in zip(made, specs, strict=True) if spec.late]
        await self._submit([one for one, spec in zip(made, specs, strict=True) if not spec.late])

    async def submit_late(self) -> None:
        """One that should have come with others."""
        if self.late:
            await self._submit([self.late.pop()])

    async def _submit(self, made: Sequence[Both]) -> None:
        if made:
            sent = Sent(uuid.uuid4().hex, [one.real for one in made], [one.memory for one in made])
            self.sent.append(sent)
            accepted = await self.send(sent)
            assert (accepted is None) == (self.rooms.mode == "draining")

    async def send(self, sent: Sent) -> Both | None:
        return await self.pair.call(
            lambda queue: queue.submit(sent.real, sent.command),
            lambda queue: queue.submit(sent.memory, sent.command),
        )

    async def send_again(self, pick: int) -> None:
        """The reply was lost: the same command, which is done once while it is remembered.

        Later it would be new, and give ids twice that may have ended; nobody sends it then.
        """
        sent = self.sent[-1 - pick % len(self.sent)]
        until, _ = self.rooms.once.get(sent.command, (0, None))
        living = {new.id for new in sent.real} & self.rooms.jobs.live.keys()
        if self.rooms.now < until or living:
            await self.send(sent)

    async def submit_taken(self, id: str) -> None:
        """Two jobs, of which the second has the id of one that lives: none is accepted."""
        fresh = next(new_ids(PARTITION, 1))
        jobs = [new_job(one, ev.JobSubmitted("noop")) for one in (fresh, id)]
        assert await self.send(Sent(uuid.uuid4().hex, jobs, jobs)) is None


def _job(id: str, spec: Spec, now: Both) -> Both:
    """A job for each side; its body is that of the real one for both."""
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
        on_parent_failure=spec.on_failure if spec.waits else None,
        open=spec.open,
    )
    once = (spec.once, ONCE * MINUTE) if spec.once else None
    real = new_job(id, _timed(submitted, spec, now.real))._replace(policy=spec.policy, once=once)
    return Both(real, real._replace(spec=_timed(submitted, spec, now.memory)))


def _is_linked(spec: Spec) -> bool:
    return spec.waits or spec.before is not None


def _linked(made: Both, link: Link) -> Both:
    """The same, which now knows whom it waits for, and who waits for it."""
    both = [
        new_job(one.id, msgspec.structs.replace(one.spec, depends_on=link.parents))._replace(
            policy=one.policy, once=one.once, ended=link.ended, before=link.before
        )
        for one in made
    ]
    return Both(both[0], both[1]._replace(body=both[0].body))


def _timed(submitted: ev.JobSubmitted, spec: Spec, now: int) -> ev.JobSubmitted:
    return msgspec.structs.replace(
        submitted,
        run_at=None if spec.run_at is None else now + spec.run_at * MINUTE,
        expires_at=None if spec.expires is None else now + spec.expires * MINUTE,
    )
