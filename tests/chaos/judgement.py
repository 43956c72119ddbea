"""Judges a run that is over by all that was recorded of it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from millstream.core.audits.report import Report
from tests.audits.bounds import Bounds
from tests.audits.effects import Effects, read_notes
from tests.audits.operations import Operations
from tests.audits.parents import Parents
from tests.invariants import check

from .causes import Causes
from .diary import Diary
from .ends import Ends
from .injury import Injury
from .kinds import KEYED
from .stage import LEASE, MAX_CRASHES, Exit, Stage
from .witness import Witness

QUEUES = ("default", "side", "limited")
CALM_MS = 5000
"""By how much a job may be late that nothing disturbs."""


class Plan(msgspec.Struct, frozen=True):
    """A run: its seed decides what is done when.

    jobs    about how many are submitted
    poison  how many of them kill their worker each time
    pause   seconds from fault to fault, on the average
    timed   what depends on how fast the machine is is demanded too: jobs start in time where
            nothing disturbs them, and no lease expires of nothing
    """

    seed: int
    seconds: float
    jobs: int
    poison: int = 1
    pause: float = 1.0
    timed: bool = True


class Recorded(NamedTuple):
    """What there is of a run."""

    plan: Plan
    folder: Path
    diary: Diary
    stage: Stage
    injuries: list[Injury]
    witness: Witness


@dataclass
class Result:
    """What a run came to."""

    report: Report
    effects: Effects
    operations: Counter[str]
    injuries: list[Injury]
    exits: list[Exit]
    poisoned: Counter[str]
    expired_of: Counter[str]
    stuck: int


async def judged(run: Recorded) -> Result:
    """Hold all of it against each other."""
    stage, timed = run.stage, run.plan.timed
    operations = Operations(run.diary.lines)
    effects = Effects(read_notes(run.folder), "chaos.")
    bounds = Bounds({"limited": KEYED["concurrency_per_key"]}, calm_ms=CALM_MS if timed else None)
    ends = Ends(MAX_CRASHES)
    causes = Causes(stage.role_of, run.injuries, stage.exits, LEASE, timed=timed)
    with _hoarding():
        report = await check(
            stage.valkey.url,
            QUEUES,
            acknowledged=operations.acknowledged,
            drained=True,
            dsn=stage.postgres.dsn,
            others=[operations, effects, bounds, Parents(), ends, causes],
        )
    run.witness.close(report)
    complain(report, run.diary.unexpected, stage.exits)
    return Result(
        report,
        effects,
        operations.counts,
        run.injuries,
        list(stage.exits),
        ends.poisoned,
        causes.causes,
        run.witness.stuck,
    )


@contextmanager
def _hoarding() -> Generator[None]:
    """A history is kept to its end: a third of the time would go into looking for garbage in it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def complain(report: Report, answers: Sequence[str], exits: Sequence[Exit]) -> None:
    """Report answers that none should get, and roles that ended without having been told to.

    One that ends by SIGKILL was hit by a job that kills its worker.
    """
    for answer in answers:
        report.add("unexpected-answer", "client", answer)
    for end in exits:
        if not end.ordered and end.code != -9:
            report.add("role-ended", end.role, f"by itself, with code {end.code}")
