"""When a failed attempt is tried again. Pure arithmetic; durations are seconds."""

import random
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

MAX_DELAY = 366 * 86400.0
MAX_ATTEMPTS = 1000
"""Most attempts of a job in all, whoever says how many."""

MAX_DELAYS = 100
"""Most waits of a list: the spec is kept with the job, and read at each attempt."""

Kind = Literal["exponential", "linear", "fixed", "list"]

Delays = Annotated[
    tuple[Annotated[float, Meta(ge=0, le=MAX_DELAY)], ...],
    Meta(max_length=MAX_DELAYS, description="Of the list kind: seconds; the last one repeats."),
]


_KINDS: tuple[Kind, ...] = get_args(Kind)


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the wait before the next attempt grows.

    kind     fixed: `delay` each time; linear: delay × n; exponential: delay × factor^(n-1);
             list: one of `delays` after the other
    delay    seconds before the second attempt
    factor   growth of the exponential kind
    max      no wait is longer (seconds); a list is taken as it is
    jitter   part of the wait that is random, 0 to 1: spreads jobs that failed together
    delays   seconds before the second attempt, the third, …; the last one repeats
    """

    kind: Kind = "exponential"
    delay: float = 1.0
    factor: float = 2.0
    max: float = 3600.0
    jitter: float = 0.1
    delays: Delays = ()

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"expected kind {', '.join(_KINDS)}, got {self.kind!r}")
        _bound("delay", self.delay, 0, MAX_DELAY)
        _bound("factor", self.factor, 1, 1000)
        _bound("max", self.max, 0, MAX_DELAY)
        _bound("jitter", self.jitter, 0, 1)
        if (self.kind == "list") != bool(self.delays):
            given = f"{self.kind!r} with{'' if self.delays else 'out'} them"
            raise ValueError(f"expected delays with kind 'list' and with no other, got {given}")
        if len(self.delays) > MAX_DELAYS:
            raise ValueError(f"expected at most {MAX_DELAYS} delays, got {len(self.delays)}")
        for number, delay in enumerate(self.delays):
            _bound(f"delays[{number}]", delay, 0, MAX_DELAY)


def _bound(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, int | float):
        raise ValueError(f"expected a number as {name}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"expected {name} from {low:g} to {high:g}, got {value:g}")


DEFAULT = Backoff()


def delay_after(attempt: int, backoff: Backoff = DEFAULT, chance: float | None = None) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1).

    `chance`, 0 to 1, stands for the random part; by default it is drawn.
    """
    drawn = random.random() if chance is None else chance
    return _longest(attempt, backoff) * (1 - backoff.jitter * drawn)


def _longest(attempt: int, backoff: Backoff) -> float:
    match backoff.kind:
        case "list":
            return backoff.delays[min(attempt, len(backoff.delays)) - 1]
        case "fixed":
            wait = backoff.delay
        case "linear":
            wait = backoff.delay * attempt
        case "exponential":
            # The exponent is bounded since a float overflows near 1024 doublings.
            wait = backoff.delay * backoff.factor ** min(attempt - 1, 100)
    return min(wait, backoff.max)
