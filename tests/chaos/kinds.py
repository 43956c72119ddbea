"""Kinds of load: what is submitted, and how such a job may end.

A new kind is a handler in `app`, if it needs one, and a class here in KINDS.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from millstream.core.jobs import Job

SUCCEEDED = "succeeded"
Body = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """Jobs of a kind. `weight`: how often beside the others; `ends`: how such a job may end: by
    its state, or if it failed by the reason."""

    type: ClassVar[str]
    weight: ClassVar[int] = 1
    queue: ClassVar[str] = "default"
    ends: ClassVar[frozenset[str]] = frozenset({SUCCEEDED})

    def children(self, job: Job) -> int:
        """How many jobs such a job has submitted when it succeeds."""
        return 0

    def body(self, random: Random, number: int) -> Body:
        """The submission of job `number`, but for type and queue."""
        return {"payload": number}

    def submission(self, random: Random, number: int) -> Body:
        return {"type": self.type, "queue": self.queue, **self.body(random, number)}


class Immediate(Kind):
    type = "chaos.quick"
    weight = 400

    def body(self, random: Random, number: int) -> Body:
        return {"payload": number, "priority": random.randrange(10), "tags": ["immediate"]}


class Delayed(Kind):
    type = "chaos.quick"
    weight = 80

    def body(self, random: Random, number: int) -> Body:
        return {"payload": number, "delay": round(random.uniform(0, 5), 3)}


class Slow(Kind):
    type = "chaos.slow"
    weight = 60

    def body(self, random: Random, number: int) -> Body:
        return {"payload": round(random.uniform(0.05, 0.5), 3)}


class VerySlow(Kind):
    """About as long as a lease: who is overtaken comes back while another is at it."""

    type = "chaos.slow"
    weight = 20

    def body(self, random: Random, number: int) -> Body:
        return {"payload": round(random.uniform(1, 5), 3)}


class Threaded(Kind):
    type = "chaos.thread"
    weight = 60

    def body(self, random: Random, number: int) -> Body:
        return {"payload": 0.02}


class Blocking(Kind):
    type = "chaos.blocking"
    weight = 1

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.choice([0.2, 4.0])}


class Flaky(Kind):
    type = "chaos.flaky"
    weight = 50

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(1, 3), "max_attempts": 4}


class Failing(Kind):
    type = "chaos.flaky"
    weight = 20
    ends = frozenset({"exhausted"})

    def body(self, random: Random, number: int) -> Body:
        return {"payload": 1000, "max_attempts": 2}


class Fatal(Kind):
    type = "chaos.fatal"
    weight = 20
    ends = frozenset({"non_retryable"})


class Late(Kind):
    type = "chaos.late"
    weight = 8
    ends = frozenset({"exhausted"})

    def body(self, random: Random, number: int) -> Body:
        return {}


class Expiring(Kind):
    type = "chaos.quick"
    weight = 20
    ends = frozenset({SUCCEEDED, "expired"})

    def body(self, random: Random, number: int) -> Body:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        return {"payload": number, "expires_at": at, "delay": 2}


class Snoozing(Kind):
    type = "chaos.snooze"
    weight = 20

    def body(self, random: Random, number: int) -> Body:
        return {"payload": time.time() + random.uniform(0, 2)}


class Stepping(Kind):
    type = "chaos.steps"
    weight = 60

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(0, 6)}


class ThreadStepping(Kind):
    type = "chaos.thread-steps"
    weight = 20


class Parent(Kind):
    type = "chaos.parent"
    weight = 30

    def children(self, job: Job) -> int:
        return job.payload.decode(int)

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(1, 4)}


class Gathering(Kind):
    """Submits some, and one that waits for them."""

    type = "chaos.gather"
    weight = 10

    def children(self, job: Job) -> int:
        return job.payload.decode(int) + 1

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(1, 4)}


class Unique(Kind):
    type = "chaos.slow"
    weight = 40

    def body(self, random: Random, number: int) -> Body:
        key = {"key": f"u-{random.randrange(20)}", "policy": "keep"}
        return {"payload": 0.1, "unique": key}


class Replaced(Kind):
    """Put off by each that is like it."""

    type = "chaos.quick"
    weight = 20

    def body(self, random: Random, number: int) -> Body:
        key = {"key": f"r-{random.randrange(5)}", "policy": "replace", "scope": "waiting"}
        return {"payload": number, "delay": 1, "unique": key}


class OneByOne(Kind):
    type = "chaos.slow"
    weight = 40
    queue = "limited"

    def body(self, random: Random, number: int) -> Body:
        return {"payload": 0.02, "concurrency_key": f"tenant-{random.randrange(10)}"}


class Rated(Kind):
    type = "chaos.thread"
    weight = 30
    queue = "limited"

    def body(self, random: Random, number: int) -> Body:
        return {"payload": 0.0}


class Personal(Kind):
    """About a person who may be erased at any time."""

    type = "chaos.steps"
    weight = 20
    ends = frozenset({SUCCEEDED, "non_retryable"})

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(0, 3), "subject": _person(random)}


class PersonalFailing(Kind):
    """The same, and its errors too."""

    type = "chaos.flaky"
    weight = 10
    ends = frozenset({"exhausted", "non_retryable"})

    def body(self, random: Random, number: int) -> Body:
        return {"payload": 1000, "max_attempts": 2, "subject": _person(random)}


class Processed(Kind):
    type = "chaos.process"
    weight = 10

    def body(self, random: Random, number: int) -> Body:
        return {"payload": round(random.uniform(0, 0.1), 3)}


class Endless(Kind):
    """Killed at its timeout."""

    type = "chaos.endless"
    weight = 1
    ends = frozenset({"exhausted"})

    def body(self, random: Random, number: int) -> Body:
        return {}


class Crashing(Kind):
    """Its process dies once or twice."""

    type = "chaos.crash"
    weight = 4

    def body(self, random: Random, number: int) -> Body:
        return {"payload": random.randint(1, 2)}


class Poison(Kind):
    type = "chaos.poison"
    weight = 0  # so many are submitted apart from the rest
    ends = frozenset({"poison"})

    def body(self, random: Random, number: int) -> Body:
        return {}


KINDS: dict[str, Kind] = {
    kind.__name__: kind()
    for kind in (
        Immediate, Delayed, Slow, VerySlow, Threaded, Blocking, Flaky, Failing, Fatal, Late,
        Expiring, Snoozing, Stepping, ThreadStepping, Parent, Gathering, Unique, Replaced,
        OneByOne, Rated, Personal, PersonalFailing, Processed, Endless, Crashing, Poison,
    )
}  # fmt: skip

PERSONS = 50


def _person(random: Random) -> str:
    return f"person-{random.randrange(PERSONS)}"


KEYED = {"concurrency_per_key": 1}
RATE = 60
LIMITS: dict[str, Any] = {
    **KEYED,
    "types": {"chaos.thread": {"rate": {"limit": RATE, "per": 1}}},
}
"""Of the queue `limited`."""


def drawn(random: Random, number: int) -> Body:
    """The submission of job `number`; its metadata say of which kind it is."""
    names = list(KINDS)
    (name,) = random.choices(names, [KINDS[name].weight for name in names])
    return of_kind(name, random, number)


def of_kind(name: str, random: Random, number: int) -> Body:
    """A submission of that kind."""
    return KINDS[name].submission(random, number) | {"metadata": {"kind": name}}


def end_of(job: Job) -> str:
    """How a job ended: its state, or the reason for which it failed."""
    return job.failure or job.state.value
