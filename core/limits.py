"""Limits of a queue: what is said of them, and the fields of the hash that Redis holds them in.

The fields and bounds are those of lua/includes/gates.lua: `c` concurrency, `r` rate, `ck` and `rk`
the same per key, `:type` behind where the limit is that of one job type.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .errors import InvalidName
from .keys import check_job_type

MAX_COUNT = 1_000_000
MAX_PERIOD = 31 * 86400.0

Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]


class Rate(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most `limit` starts in `per` seconds, evenly spaced.

    burst  how many may start at once when none did for a while; by default those of 10 ms, at
           least 1: workers take jobs in batches, so a high rate without any burst is never reached
    """

    limit: Count
    per: Annotated[float, Meta(gt=0, le=MAX_PERIOD)] = 1.0
    burst: Count | None = None

    def __post_init__(self) -> None:
        if self.limit / self.per > 1_000_000:
            raise ValueError("expected at most 1000000 starts a second")

    @property
    def bound(self) -> str:
        """µs between starts, how many may come at once, and what was said."""
        burst = self.burst or max(1, round(self.limit / self.per * 0.01))
        interval = max(1, round(self.per * 1_000_000 / self.limit))
        return f"{interval} {burst} {msgspec.json.encode(self).decode()}"


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on the jobs of one type; null takes a limit away, what is left out stays.

    The limits per key hold for each `concurrency_key` and `rate_key` of the jobs on its own.
    """

    concurrency: Count | UnsetType | None = UNSET
    rate: Rate | UnsetType | None = UNSET
    concurrency_per_key: Count | UnsetType | None = UNSET
    rate_per_key: Rate | UnsetType | None = UNSET


class QueueLimits(Limits, frozen=True, forbid_unknown_fields=True):
    """Limits on a whole queue, and on its job types.

    aging  seconds: a job of priority p is served as if it had come p × aging later; null: strict
    """

    aging: Annotated[float, Meta(ge=0.001, le=86400)] | UnsetType | None = UNSET
    types: dict[str, Limits] | UnsetType = UNSET

    def __post_init__(self) -> None:
        for name in {} if self.types is UNSET else self.types:
            try:
                check_job_type(name)
            except InvalidName as error:
                raise ValueError(str(error)) from None


def bounds_of(limits: QueueLimits) -> dict[str, str]:
    """Field → bound of everything that is said; '' takes a limit away."""
    bounds = dict(_fields(limits, ""))
    if limits.aging is not UNSET:
        bounds["aging"] = "" if limits.aging is None else str(round(limits.aging * 1000))
    for name, of_type in ({} if limits.types is UNSET else limits.types).items():
        bounds.update(_fields(of_type, f":{name}"))
    return bounds


def _fields(limits: Limits, behind: str) -> Iterable[tuple[str, str]]:
    told = (
        ("c", limits.concurrency),
        ("r", limits.rate),
        ("ck", limits.concurrency_per_key),
        ("rk", limits.rate_per_key),
    )
    for field, value in told:
        if value is None:
            yield field + behind, ""
        elif isinstance(value, Rate):
            yield field + behind, value.bound
        elif value is not UNSET:
            yield field + behind, str(value)


_NAMES = {"c": "concurrency", "r": "rate", "ck": "concurrency_per_key", "rk": "rate_per_key"}


def limits_of(bounds: Mapping[str, str]) -> dict[str, Any]:
    """The limits in force, as JSON values: the inverse of `bounds_of`."""
    found: dict[str, Any] = {}
    for field, bound in sorted(bounds.items()):
        kind, _, type_name = field.partition(":")
        if bound == "-":
            continue
        if kind == "aging":
            found["aging"] = int(bound) / 1000
            continue
        into = found.setdefault("types", {}).setdefault(type_name, {}) if type_name else found
        into[_NAMES[kind]] = _value(bound)
    return found


def _value(bound: str) -> Any:
    """A count, or a rate as it was said: what follows its interval and burst."""
    return msgspec.json.decode(bound.split(" ", 2)[-1])


def changed(limits: QueueLimits) -> dict[str, Any]:
    """What was said, as JSON values, for the event."""
    return msgspec.to_builtins(limits)
