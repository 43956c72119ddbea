"""When a failed attempt is tried again. Pure arithmetic; durations are seconds."""

import random
from typing import Literal

import msgspec

MAX_DELAY = 366 * 86400.0


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the wait before the next attempt grows.

    kind     fixed: `delay` each time; linear: delay × n; exponential: delay × factor^(n-1)
    delay    seconds before the second attempt
    factor   growth of the exponential kind
    max      no wait is longer (seconds)
    jitter   part of the wait that is random, 0 to 1: spreads jobs that failed together
    """

    kind: Literal["exponential", "linear", "fixed"] = "exponential"
    delay: float = 1.0
    factor: float = 2.0
    max: float = 3600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _bound("delay", self.delay, 0, MAX_DELAY)
        _bound("factor", self.factor, 1, 1000)
        _bound("max", self.max, 0, MAX_DELAY)
        _bound("jitter", self.jitter, 0, 1)


def _bound(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"expected {name} from {low:g} to {high:g}, got {value:g}")


DEFAULT = Backoff()


def delay_after(attempt: int, backoff: Backoff = DEFAULT, chance: float | None = None) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1).

    `chance`, 0 to 1, stands for the random part; by default it is drawn.
    """
    match backoff.kind:
        case "fixed":
            wait = backoff.delay
        case "linear":
            wait = backoff.delay * attempt
        case "exponential":
            # The exponent is bounded since a float overflows near 1024 doublings.
            wait = backoff.delay * backoff.factor ** min(attempt - 1, 100)
    wait = min(wait, backoff.max)
    drawn = random.random() if chance is None else chance
    return wait * (1 - backoff.jitter * drawn)
