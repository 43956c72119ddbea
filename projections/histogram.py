"""Histograms of durations: logarithmic buckets whose bounds never change, so that they add up.

Durations are whole ms. Up to `EXACT` each value has a bucket of its own; above, each bucket is
`RATIO` times as wide as the one before, and stands for the geometric middle of its bounds. So a
percentile is off by at most `ERROR` of its value, whatever the durations are.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping

EXACT = 16
RATIO = 1.08
ERROR = 0.05
LIMIT = 400 * 86_400_000
"""Longer durations (ms) count as this long."""


def _bounds() -> list[int]:
    bounds = list(range(EXACT + 1))
    while bounds[-1] <= LIMIT:
        bounds.append(max(bounds[-1] + 1, math.floor(bounds[-1] * RATIO)))
    return bounds


_LOWER = _bounds()
"""The least duration of each bucket."""

BUCKETS = len(_LOWER) - 1

_SMALL = [bisect_right(_LOWER, value) - 1 for value in range(4096)]
"""Most durations are short: for those a look-up does."""


def bucket_of(duration_ms: int) -> int:
    """The bucket of a duration; a negative one (a clock was set back) counts as 0."""
    if duration_ms < 4096:
        return _SMALL[duration_ms] if duration_ms > 0 else 0
    return bisect_right(_LOWER, min(duration_ms, LIMIT)) - 1


def value_of(bucket: int) -> float:
    """The duration in ms that a bucket stands for."""
    low, high = _LOWER[bucket], _LOWER[bucket + 1] - 1
    return float(low) if low == high else math.sqrt(low * high)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The duration (ms) that `share` (0 to 1) of the counted ones do not exceed; None of none."""
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = max(1, math.ceil(share * total))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return value_of(bucket)
    raise AssertionError("the counts sum up to their total")
