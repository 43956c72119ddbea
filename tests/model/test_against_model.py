"""Every verb in any order, beside the model: by workers that are late, forgetful and wrong.

Server and model must agree after each step; an audit of the whole finds nothing, not in between
and not when all is over.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from millstream.core import events as ev
from millstream.core.ids import new_ids
from millstream.core.queue import Claim, Finish, NewJob, Redrive, Verdict
from tests.core.verbs.mill import ADA, BODIES, FAULT
from tests.invariants import check

from .due import Instant
from .log import says
from .pair import Pair
from .verbs import Ended, Given, Model, New, Said
from .world import MINUTE, PARTITION, World

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
BY = says(ev.body_of(ADA))
ENDS = ("job.succeeded", "job.failed", "job.cancelled")
EXAMPLES = settings.get_profile("millstream").max_examples
STEPS = 50

workers = st.sampled_from(("w1", "w2", "w3"))
priorities = st.sampled_from((0, 5, 5, 9))
few = st.integers(1, 5)
minutes = st.integers(0, 3)
numbers = st.integers(0, 99)
picks = st.lists(numbers, min_size=1, max_size=4)


class Specs:
    """Strategies of what is submitted: at once, later by a delay or a time, with an end or not."""

    times = st.one_of(
        st.just({}),
        st.just({}),
        st.builds(lambda delay: {"delay": delay}, minutes),
        st.builds(lambda at: {"run_at": at}, st.integers(-1, 3)),
    )
    ends = st.one_of(st.none(), st.none(), st.integers(0, 3))
    jobs = st.lists(st.tuples(priorities, times, ends), min_size=1, max_size=4)


class AgainstModel(RuleBasedStateMachine):
    """`url` is given by the test; each example has an event loop of its own."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.world = self.runner.run(self._open())
        self.pair = Pair(self.model, self.world)
        self.leases: list[Given] = []
        self.commands: list[tuple[str, list[New], list[NewJob]]] = []
        self.specs: dict[str, bytes] = {}

    async def _open(self) -> World:
        world = World(self.url)
        await world.clear()
        return world

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def lease(self, pick: int) -> Given:
        """One of all leases ever given; the latest are the likeliest."""
        return self.leases[-1 - pick % len(self.leases)]

    def id(self, pick: int) -> str:
        return self.pair.ids[-1 - pick % len(self.pair.ids)]

    # -- from outside -------------------------------------------------------------

    @rule(jobs=Specs.jobs)
    def submit(self, jobs: list[Any]) -> None:
        self.run(self._submit(jobs))

    async def _submit(self, jobs: list[Any]) -> None:
        # Times are named before the call, as a client does; `begin` sees to it that they are past.
        tick = self.model.tick + 2
        await self.world.begin(tick)
        ids = list(new_ids(PARTITION, len(jobs)))
        made = [self._job(id, *spec) for id, spec in zip(ids, jobs, strict=True)]
        self.pair.ids += ids
        self.specs |= {one.id: one.body for one, _ in made}
        command = uuid.uuid4().hex, [one for one, _ in made], [real for _, real in made]
        self.commands.append(command)
        assert await self._send(command) is not None

    def _job(self, id: str, priority: int, time: dict[str, int], end: int | None) -> Any:
        """A job for the model, and the same for the server."""
        just_before = Instant(self.model.clock, self.model.tick + 1)
        now, _ = self.world.times[just_before.tick]
        spec: dict[str, Any] = {"priority": priority, "max_attempts": 99}
        at = None
        if "delay" in time:
            spec["delay_ms"] = time["delay"] * MINUTE
        elif "run_at" in time:
            spec["run_at"] = now + time["run_at"] * MINUTE
            at = just_before.later(time["run_at"])
        if end is not None:
            spec["expires_at"] = now + end * MINUTE
        submitted = ev.JobSubmitted("noop", **spec)
        body = ev.body_of(submitted)
        expires = None if end is None else self.model.clock + end
        return (
            New(id, priority, body, time.get("delay"), at, expires),
            NewJob(id, submitted, body),
        )

    async def _send(self, command: tuple[str, list[New], list[NewJob]]) -> Any:
        name, news, reals = command
        return await self.pair.call(
            lambda: self.world.queue.submit(reals, name),
            lambda: self.model.submit(name, news),
            lambda receipt: (receipt.first_seq, receipt.again),
        )

    @precondition(lambda self: self.commands)
    @rule(pick=numbers)
    def submit_again(self, pick: int) -> None:
        """The reply was lost: the same command, which is done once while it is remembered."""
        name, news, reals = self.commands[-1 - pick % len(self.commands)]
        if name not in self.model.once:
            return
        _, minute = self.model.once[name]
        if self.model.clock - minute < 10 or {new.id for new in news} & self.model.jobs.live.keys():
            self.run(self._send((name, news, reals)))

    @precondition(lambda self: self.model.jobs.live)
    @rule(pick=numbers)
    def submit_a_taken_id(self, pick: int) -> None:
        live = list(self.model.jobs.live)
        taken = New(live[pick % len(live)], 5, ev.body_of(ev.JobSubmitted("noop")))
        fresh = taken._replace(id=next(new_ids(PARTITION, 1)))
        reals = [NewJob(new.id, ev.JobSubmitted("noop"), new.body) for new in (fresh, taken)]
        assert self.run(self._send((uuid.uuid4().hex, [fresh, taken], reals))) is None

    @precondition(lambda self: self.pair.ids)
    @rule(picks=picks)
    def cancel(self, picks: list[int]) -> None:
        ids = [self.id(pick) for pick in picks]
        self.run(
            self.pair.call(
                lambda: self.world.queue.cancel(ids, ADA), lambda: self.model.cancel(ids, BY)
            )
        )

    @precondition(lambda self: self.pair.ids)
    @rule(picks=picks, behind=st.integers(0, 1))
    def redrive(self, picks: list[int], behind: int) -> None:
        """As somebody does who read the archive, perhaps an older state of it."""
        found = [end for pick in picks if (end := self._end_of(self.id(pick), behind))]
        if found:
            reals = [Redrive(*end) for end in found]
            self.run(
                self.pair.call(
                    lambda: self.world.queue.redrive(reals, ADA),
                    lambda: self.model.redrive(found, BY),
                )
            )

    def _end_of(self, id: str, behind: int) -> Ended | None:
        """An end of the job; an older one only while the server can know that it is."""
        ends = [one.version for one in self.model.log if one.job == id and one.type in ENDS]
        known = id in self.model.jobs.live or self.model.jobs.last_version(id, self.model.clock)
        if len(ends) <= behind or (behind and not known):
            return None
        priority = says(self.specs[id]).get("priority", 5)
        return Ended(id, priority, ends[-1 - behind], self.specs[id])

    # -- from workers -------------------------------------------------------------

    @rule(worker=workers, limit=few)
    def claim(self, worker: str, limit: int) -> None:
        self._claim(worker, limit, held=False)

    @rule(worker=workers, limit=few)
    def claim_held(self, worker: str, limit: int) -> None:
        self._claim(worker, limit, held=True)

    def _claim(self, worker: str, limit: int, *, held: bool) -> None:
        claim: list[Claim] = []

        def leases(reply: Claim) -> list[Given]:
            claim.append(reply)
            return [
                Given(one.id, one.fence, one.attempt, one.crashes, one.spec) for one in reply.leases
            ]

        given = self.run(
            self.pair.call(
                lambda: self.world.queue.claim(worker, limit, held=held),
                lambda: self.model.claim(worker, limit, held=held),
                leases,
            )
        )
        if given is not None:
            self.leases += given
            self.pair.check_ms(claim[0].now, self.model.now)
            self._check_next(claim[0].next_due)

    def _check_next(self, next_due: int) -> None:
        expected = self.model.due.next()
        if expected is None:
            assert next_due == 0
        else:
            self.pair.check_ms(next_due, expected)

    @precondition(lambda self: self.leases)
    @rule(
        verdicts=st.lists(
            st.tuples(
                numbers, st.sampled_from(VERDICTS), minutes, st.sampled_from((0, 0, 0, 0, 1, -1))
            ),
            min_size=1,
            max_size=5,
        )
    )
    def finish(self, verdicts: list[tuple[int, Verdict, int, int]]) -> None:
        """Verdicts on any lease, on the same one twice, on fences that nobody was given."""
        said = [
            _said(self.lease(pick), verdict, delay, off) for pick, verdict, delay, off in verdicts
        ]
        reals = [
            Finish(one.id, one.fence, one.verdict, one.body, one.delay * MINUTE, one.end)
            for one in said
        ]
        self.run(
            self.pair.call(lambda: self.world.queue.finish(reals), lambda: self.model.finish(said))
        )

    @precondition(lambda self: self.leases)
    @rule(worker=workers, picks=picks)
    def renew(self, worker: str, picks: list[int]) -> None:
        leases = [(self.lease(pick).id, self.lease(pick).fence) for pick in picks]
        if any(lane.lost for _, lane in self.model.lanes.in_order()):
            leases = leases[:1]  # of several, which are renewed before the refusal is not said

        async def real() -> list[int]:
            return self.world.renew(worker, leases)

        self.run(self.pair.call(real, lambda: self.model.renew(worker, leases)))

    @rule(worker=workers, comes=st.booleans())
    def announce(self, worker: str, comes: bool) -> None:
        event = ev.WorkerStarted(worker, ["noop"]) if comes else ev.WorkerStopped(worker)
        self.run(
            self.pair.call(
                lambda: self.world.queue.announce(event),
                lambda: self.model.announce(event.name, says(ev.body_of(event))),
            )
        )

    # -- maintenance, and what goes wrong -----------------------------------------

    @rule(limit=few)
    def promote(self, limit: int) -> None:
        next_due: list[int] = []

        def count(reply: tuple[int, int]) -> int:
            next_due.append(reply[1])
            return reply[0]

        self.run(
            self.pair.call(
                lambda: self.world.queue.promote(limit),
                lambda: self.model.promote(limit)[0],
                count,
            )
        )
        self._check_next(next_due[0])

    @rule(lease=minutes, budget=st.integers(1, 3), limit=few)
    def reap(self, lease: int, budget: int, limit: int) -> None:
        self._reap(lease, budget, limit)

    def _reap(self, lease: int, budget: int, limit: int) -> Any:
        return self.run(
            self.pair.call(
                lambda: self.world.queue.reap(lease * MINUTE, budget, limit),
                lambda: self.model.reap(lease, budget, limit),
            )
        )

    @rule(passed=st.sampled_from((1, 1, 2, 3, 10, 60)))
    def step(self, passed: int) -> None:
        """Time passes; nothing happens by itself."""
        self.run(self.world.step(passed))
        self.model.step(passed)
        self.run(self.pair.compare())

    @rule()
    def hear_the_bell(self) -> None:
        """A worker that waited takes the token."""
        self.run(self.world.redis.delete(self.world.keys.bell(PARTITION)))
        self.model.bell = False

    @precondition(lambda self: self.model.lanes.lanes)
    @rule(priority=priorities)
    def lose_group(self, priority: int) -> None:
        lane = self.model.lanes.lanes.get(priority)
        if lane is not None and not lane.lost:
            stream = self.world.keys.ready(PARTITION, priority)
            self.run(self.world.redis.xgroup_destroy(stream, "workers"))
            self.model.lose_group(priority)
            self.run(self.pair.compare())

    @rule()
    def mend(self) -> None:
        self.run(self.pair.call(self.world.queue.mend, self.model.mend))

    @rule()
    def flush_scripts(self) -> None:
        self.run(self.world.redis.script_flush())

    @rule(ahead=st.integers(-5, 1))
    def archive(self, ahead: int) -> None:
        archived = max(0, self.model.log.seq + ahead)
        if self.model.log.seq:
            self.run(
                self.pair.call(
                    lambda: self.world.queue.trim(archived, 1), lambda: self.model.trim(archived)
                )
            )

    # -- the end ------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self.mend()
            self._audit(drained=False)
            self._drain()
            self._audit(drained=True)
        finally:
            self.run(self._close())
            self.runner.close()

    def _audit(self, *, drained: bool) -> None:
        moved = {
            job: (self.model.clock - since) * MINUTE for job, since in self.model.due.since.items()
        }
        report = check(
            self.url, [PARTITION], acknowledged=self.pair.ids, drained=drained, moved=moved
        )
        self.run(report).require()

    def _drain(self) -> None:
        """Whoever holds a lease is gone, who waits for a time is cancelled, the others succeed."""
        self._reap(0, 99, 1000)
        self.leases.clear()
        self._claim("w1", 1000, held=False)
        if self.leases:
            self.finish([(at, "succeeded", 0, 0) for at in range(len(self.leases))])
        if self.pair.ids:
            self.cancel(list(range(len(self.pair.ids))))

    async def _close(self) -> None:
        await self.world.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"expected no task left over, got {left}"


def _said(lease: Given, verdict: Verdict, delay: int, off: int) -> Said:
    event = BODIES[verdict]
    ms = delay * MINUTE
    if verdict == "retry":
        event = ev.JobAttemptFailed(FAULT, ms)
    elif verdict == "snoozed":
        event = ev.JobSnoozed(ms)
    elif verdict == "released":
        event = ev.JobReleased("drain", ms)
    body, end = ev.body_of(event), b""
    if verdict == "failed":
        end = ev.body_of(ev.JobFailed("exhausted"))
        body = body if delay else b""  # it may fail without a failed attempt
    return Said(lease.id, lease.fence + off, verdict, delay, body, end)


def test_the_server_does_what_the_model_says(redis_url: str) -> None:
    machine = type("OnThisServer", (AgainstModel,), {"url": redis_url})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None),
    )
