"""Flows: shapes of jobs that wait for others, across queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from .client import Wish
from .kinds import Body, of_kind

POLICIES = ("fail", "fail", "cancel", "run")
"""What becomes of a job whose parent failed. Not `wait`: nobody might run the parent again."""

MEMBERS = {
    "Immediate": 20, "Slow": 8, "Flaky": 6, "Stepping": 6, "Fatal": 4, "Delayed": 4, "Snoozing": 2,
    "Personal": 2, "Processed": 1, "Gathering": 1,
}  # fmt: skip
QUEUES = ("default", "side")


def _member(random: Random, number: int, after: Sequence[int] = ()) -> Body:
    """A job of a flow; its metadata say after which others it runs, and what if they fail."""
    (kind,) = random.choices(list(MEMBERS), list(MEMBERS.values()))
    body: Body = {**of_kind(kind, random, number), "queue": random.choice(QUEUES)}
    if after:
        policy = random.choice(POLICIES)
        body["on_parent_failure"] = policy
        body["metadata"] |= {"after": ",".join(map(str, after)), "policy": policy}
    return body


def _chain(random: Random, number: int) -> Wish:
    jobs = [_member(random, number)]
    jobs += [_member(random, number + n, [n - 1]) for n in range(1, random.randint(2, 5))]
    return Wish("/flows", jobs, {"chain": jobs})


def _diamond(random: Random, number: int) -> Wish:
    """One, some after it, one after those; the last also after the first."""
    middle = range(1, random.randint(2, 5))
    jobs = [_member(random, number), *(_member(random, number + n, [0]) for n in middle)]
    jobs.append(_member(random, number + len(jobs), range(len(jobs))))
    for place, job in enumerate(jobs):
        job["key"] = f"k{place}"
        after = job["metadata"].get("after")
        if after is not None:
            job["depends_on"] = [f"k{one}" for one in after.split(",")]
    return Wish("/flows", jobs, {"jobs": jobs})


def _fan(random: Random, number: int) -> Wish:
    """Many, and one when all have ended."""
    jobs = [_member(random, number + n) for n in range(random.randint(2, 40))]
    last = _member(random, number + len(jobs), range(len(jobs)))
    return Wish("/flows", [*jobs, last], {"batch": jobs, "then": last})


def _open(random: Random, number: int) -> Wish:
    """A batch of which the jobs come in two requests, the last job first."""
    wish = _fan(random, number)
    more = [_member(random, number + n) for n in range(random.randint(1, 20))]
    return wish._replace(body=wish.body | {"open": True}, more=more)


SHAPES: tuple[Callable[[Random, int], Wish], ...] = (_chain, _diamond, _fan, _open)


def flow(random: Random, number: int) -> Wish:
    """A flow of any shape, from job `number` on."""
    return random.choice(SHAPES)(random, number)
