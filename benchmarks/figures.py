"""What a benchmark gives back, and how several runs become one figure."""

import statistics
from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured value, with the floor it is held against (None: no floor is set).

    `at_least` tells whether the floor is a lower bound (rates) or an upper one (times, sizes).
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    at_least: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the value keeps the floor; None without one."""
        if self.floor is None:
            return None
        return self.value >= self.floor if self.at_least else self.value <= self.floor


def medians(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Per name the median of its values over all runs."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for figure in run:
            values.setdefault(figure.name, []).append(figure.value)
    return [
        msgspec.structs.replace(figure, value=statistics.median(values[figure.name]))
        for figure in runs[0]
    ]


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
