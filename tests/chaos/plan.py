"""Which faults come when: decided by a seed alone, so that a run that failed can be had again."""

from __future__ import annotations

from random import Random

import msgspec

WORKERS = ("worker-1", "worker-2")
ROLES = (*WORKERS, "api", "projector")
SERVERS = ("valkey", "postgres")
LINKS = (
    *(f"{role}>valkey" for role in ROLES),
    "api>postgres",
    "projector>postgres",
)


class Fault(msgspec.Struct, frozen=True):
    """What happens to whom, `at` seconds from the beginning, and for how many `seconds`.

    A link is written `role>server`. delay: seconds by which a slow link holds each chunk.
    """

    at: float
    kind: str
    target: str
    seconds: float
    delay: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind} {self.target} for {self.seconds:.1f} s"


class Shape(msgspec.Struct, frozen=True):
    """A kind of fault: how often beside others, to whom, for how long at least and at most."""

    weight: int
    targets: tuple[str, ...]
    least: float
    most: float


KINDS: dict[str, Shape] = {
    "kill": Shape(6, ROLES, 0.0, 1.0),
    "freeze": Shape(6, WORKERS, 1.5, 7.0),
    "freeze-role": Shape(2, ("api", "projector", "valkey"), 0.3, 3.0),
    "deploy": Shape(3, ROLES, 0.0, 0.5),
    "kill-server": Shape(3, SERVERS, 0.0, 2.0),
    "slow-requests": Shape(2, LINKS, 0.5, 4.0),
    "slow-replies": Shape(2, LINKS, 0.5, 4.0),
    "drop-requests": Shape(2, LINKS, 0.2, 4.0),
    "drop-replies": Shape(4, LINKS, 0.2, 4.0),
    "tear-replies": Shape(2, LINKS, 0.1, 1.0),
    "cut": Shape(3, LINKS, 0.0, 0.0),
    "part": Shape(3, LINKS, 0.3, 5.0),
}
"""Frozen longer than its lease, a worker is overtaken; a link that parts refuses and cuts."""


def plan(seed: int, seconds: float, pause: float = 1.0) -> list[Fault]:
    """The faults of a run of so many seconds, each mended before its end.

    One of each kind comes first; with a pause of a second that takes half a minute at most. No
    target has two at once.
    """
    random, found = Random(f"faults {seed}"), list[Fault]()
    first = random.sample(list(KINDS), len(KINDS))
    busy: dict[str, float] = {}
    at = 1.0
    while True:
        kind = first.pop() if first else random.choices(*_weighted())[0]
        shape = KINDS[kind]
        length = random.uniform(shape.least, shape.most)
        free = [target for target in shape.targets if busy.get(target, 0) <= at]
        if at + length > seconds - 1:
            return found
        if free:
            target = random.choice(free)
            delay = random.uniform(0.02, 0.5) if kind.startswith("slow") else 0.0
            found.append(Fault(round(at, 2), kind, target, round(length, 2), round(delay, 3)))
            busy[target] = at + length + 0.5
        at += pause * random.uniform(0.2, 1.8)


def _weighted() -> tuple[list[str], list[int]]:
    return list(KINDS), [shape.weight for shape in KINDS.values()]
