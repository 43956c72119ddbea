"""What each feature costs the jobs that do not use it.

Two systems, a bare one and one with the feature, are given the same jobs in turns, so that what
the machine does meanwhile falls on both. What counts is processor time per job: it depends far less
on the machine's other work than pace does. A bare system beside a bare one tells the noise.
"""

import statistics
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from .features import NOTHING, PLAIN, PROJECTED, Feature
from .figures import Figure
from .sides import Costs, side

ROUNDS = 3
"""Fresh pairs of systems for each feature."""

TURNS = 6
"""Of both systems of a pair; one more before them warms up."""

JOBS = 2000
"""Of a turn."""

BARE_PAIRS = 3
"""How many pairs with nothing to compare, for each with a feature."""

WHAT = {
    "worker": "worker CPU",
    "claimed": "Redis CPU of claim and finish",
    "submitted": "Redis CPU of submission",
    "projector": "projector CPU",
    "clock": "time",
}
"""Field of `Costs` → its name; all of them per job."""

Ratios = dict[str, float]


async def each_feature() -> list[Figure]:
    """Per feature and cost: the median of the ratios, held against the noise."""
    found: list[Figure] = []
    for nothing, features in zip(NOTHING, (PLAIN, PROJECTED), strict=True):
        found += await measured(nothing, features)
    return found


async def measured(
    nothing: Feature,
    features: Sequence[Feature],
    rounds: int = ROUNDS,
    turns: int = TURNS,
    jobs: int = JOBS,
) -> list[Figure]:
    """Features whose systems are of one kind, round by round, so that none has a quiet hour."""
    pairs: dict[str, list[Ratios]] = {}
    for number in range(rounds):
        for feature in (*[nothing] * BARE_PAIRS, *features):
            print(f"unused: {feature.name} ({number + 1}/{rounds}) …", file=sys.stderr)
            pairs.setdefault(feature.name, []).append(await ratios(feature, turns, jobs))
    floor = noise(pairs.pop(nothing.name), rounds)
    Console(stderr=True).print(_table(pairs, floor))
    return [
        Figure(f"unused, {name}: {WHAT[cost]}", value, "of bare", 1 + floor[cost], at_least=False)
        for name, found in pairs.items()
        for cost, value in medians_of(found).items()
    ]


async def ratios(feature: Feature, turns: int, jobs: int) -> Ratios:
    """Cost → that with the feature, as a part of that without it: the median over the turns."""
    seen: list[tuple[Costs, Costs]] = []
    async with side(feature.bare) as bare, side(feature.present) as present:
        for number in range(turns + 1):
            if number % 2:
                with_it, without = await present.turn(jobs), await bare.turn(jobs)
            else:
                without, with_it = await bare.turn(jobs), await present.turn(jobs)
            seen.append((without, with_it))
    return {
        cost: statistics.median(with_it[at] / without[at] for without, with_it in seen[1:])
        for at, cost in enumerate(Costs._fields)
        if seen[0][0][at]
    }


def noise(bare: Sequence[Ratios], rounds: int) -> Ratios:
    """Cost → how far from 1 the median of so many pairs may be by chance: three standard errors.

    `bare`: pairs that had nothing to compare, at least two.
    """
    error = 3 * 1.25 / rounds**0.5  # a median of normal values strays 1.25 times as far as a mean
    return {cost: error * statistics.stdev(pair[cost] for pair in bare) for cost in bare[0]}


def medians_of(pairs: Iterable[Ratios]) -> Ratios:
    """Cost → the median of its ratios."""
    found = list(pairs)
    return {cost: statistics.median(pair[cost] for pair in found) for cost in found[0]}


def _table(pairs: dict[str, list[Ratios]], floor: Ratios) -> Table:
    """A row for each feature: how much more it costs in %, and whether that is more than noise."""
    table = Table("unused", *(f"{WHAT[cost]}, %" for cost in floor), "verdict")
    table.add_row("noise", *(f"±{limit * 100:.1f}" for limit in floor.values()), "")
    for name, found in pairs.items():
        more = {cost: value - 1 for cost, value in medians_of(found).items()}
        costly = [WHAT[cost] for cost, part in more.items() if part > floor[cost]]
        verdict = f"more {', '.join(costly)}" if costly else "none measurable"
        table.add_row(name, *(f"{part * 100:+.1f}" for part in more.values()), verdict)
    return table
