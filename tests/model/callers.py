"""The rules of the state machine for what comes from outside: clients, operators, schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from millstream.core.jobs import JobState
from millstream.core.memory.gates import Bound
from millstream.core.operating import Mode

from .clients import Spec
from .draws import (
    batches,
    bounds,
    few,
    firings,
    from_the_start,
    moments,
    numbers,
    picks,
    plan_acts,
    plans,
    waiting,
    workers,
)
from .pair import Pair
from .planners import Firing
from .play import Play
from .world import World

SHORT = 1
"""The shortest aging (ms)."""


class Callers(RuleBasedStateMachine):
    """`url` is given by the test; each example has an event loop of its own."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = self.run(self._open())
        self.pair = Pair(self.world)
        self.rooms = self.pair.rooms
        self.play = Play(self.pair)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        self.agreed = False
        reply = self.runner.run(work)
        self.agreed = True
        return reply

    async def _open(self) -> World:
        world = World(self.url)
        await world.clear()
        return world

    # -- from outside -------------------------------------------------------------

    @initialize(
        jobs=batches,
        limits=from_the_start,
        aging=st.sampled_from((False,) * 9 + (True,)),
    )
    def begin(self, jobs: list[Spec], limits: dict[str, Bound], aging: bool) -> None:
        """Many limits last for a whole example. With the shortest aging calls are far apart."""
        if aging:
            self.world.gap = 12 * SHORT
            limits |= {"aging": SHORT}
        if limits:
            self.run(self.play.configure(limits))
        self.run(self.play.submit(jobs))

    @rule(jobs=batches)
    def submit(self, jobs: list[Spec]) -> None:
        self.run(self.play.submit(jobs))

    @rule(pick=numbers, taken=st.booleans())
    def submit_in_vain(self, pick: int, taken: bool) -> None:
        """The same command again, or an id that lives already."""
        live = list(self.rooms.jobs.live)
        if taken and live:
            self.run(self.play.submit_taken(live[pick % len(live)]))
        else:
            self.run(self.play.send_again(pick))

    @rule(picks=st.lists(numbers, min_size=1, max_size=2))
    def cancel(self, picks: list[int]) -> None:
        self.run(self.play.cancel([self.play.lives(pick) for pick in picks]))

    @rule(picks=picks, behind=st.sampled_from((0, 0, 1)), what=st.sampled_from((0, 0, 2, None)))
    def redrive(self, picks: list[int], behind: int, what: int | None) -> None:
        """As somebody does who read the archive, perhaps an older state of it.

        what  minutes until they are to run; None: they are discarded
        """
        found = self.play.ends(picks, behind, dead=what is None)
        if found and what is None:
            self.run(self.play.discard(found))
        elif found:
            self.run(self.play.redrive(found, what or 0))

    # -- from operators -----------------------------------------------------------

    @rule(bounds=bounds)
    def configure(self, bounds: dict[str, Bound]) -> None:
        """An example that began with the shortest aging keeps it."""
        if self.rooms.gates.limits.get("aging") == str(SHORT):
            bounds.pop("aging", None)
        self.run(self.play.configure(bounds))

    @rule(picks=picks, minutes=st.integers(-1, 3), named=st.booleans())
    def reschedule(self, picks: list[int], minutes: int, named: bool) -> None:
        ids = [self.play.lives(pick) for pick in picks]
        self.run(self.play.reschedule(ids, minutes if named else abs(minutes), named=named))

    @rule(states=waiting, limit=few, pick=numbers)
    def purge(self, states: set[JobState], limit: int, pick: int) -> None:
        self.run(self.play.purge(states, limit, pick))

    @rule(mode=st.sampled_from(("paused", "draining")), worker=workers, soon=st.booleans())
    def operate(self, mode: Mode, worker: str, soon: bool) -> None:
        """A queue is mostly open: the mode is often changed back at once."""
        self.run(self.play.set_mode("open" if self.rooms.mode != "open" else mode))
        self.run(self.play.inspect())
        if soon and self.rooms.mode != "open":
            self.run(self.play.claim(worker, 2))
            self.run(self.play.submit([Spec(5)]))
            self.run(self.play.set_mode("open"))

    # -- schedules ----------------------------------------------------------------

    @rule(name=plans, act=plan_acts, minutes=moments, behind=st.sampled_from((0, 0, 0, 1)))
    def plan(self, name: str, act: str, minutes: int | None, behind: int) -> None:
        """Make, change, pause or delete a schedule; mostly by its version."""
        if self.play.stands(name) is None and not behind:  # mostly there is one
            self.run(self.play.plan(name, minutes, digest="", behind=0, keep=False))
        before = self.play.stands(name) if act == "keep" else None
        match act:
            case "pause":
                self.run(self.play.pause_plan(name, None, pause=True, behind=0))
            case "resume":
                self.run(self.play.pause_plan(name, None, pause=True, behind=0))
                self.run(self.play.pause_plan(name, minutes, pause=False, behind=behind))
            case "delete":
                self.run(self.play.delete_plan(name))
            case _:
                digest = act if act.startswith("d") else ""
                keep = act == "keep"
                work = self.play.plan(name, minutes, digest=digest, behind=behind, keep=keep)
                self.run(work)
        if act in ("keep", "pause"):  # who read it just before, or after
            self.run(self.play.fire(before or self.play.stands(name), Firing()))

    @rule(pick=numbers, how=firings, command=st.sampled_from(("", "", "f1", "f2")))
    def fire(self, pick: int, how: Firing, command: str) -> None:
        """As a worker that read what is due, or some time ago; or because somebody wants it."""
        self.run(self.play.plans_due(pick // 50, 1 + pick % 2))
        read = self.play.reading(0 if pick % 4 else pick // 4 % 4)
        self.run(self.play.fire(read, how, command=command))
