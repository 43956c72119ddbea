"""Jobs that run too early, too late, or beside those they must not, each once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from millstream.core import events as ev
from tests.invariants import audit_history
from tests.strategies import START_MS, job_id

from .bounds import Bounds
from .test_history import life

KEYED = ev.JobSubmitted("noop", concurrency_key="tenant")
LOCKED = ev.JobSubmitted("noop", lock="d1", lock_scope="unfinished")
LATER = ev.JobSubmitted("noop", delay_ms=5000, tags=["calm"])
STARTED, DONE = ev.JobStarted(1, "w1"), ev.JobSucceeded()


def mixed(*steps: tuple[int, ev.Event], gap: int = 1) -> list[ev.Record]:
    """A log of several jobs: (number of the job, its next event), `gap` ms apart."""
    versions: dict[int, int] = {}
    records: list[ev.Record] = []
    for n, (number, event) in enumerate(steps, 1):
        versions[number] = versions.get(number, 0) + 1
        made = life(event, number=number)[0]
        at = START_MS + n * gap
        records.append(replace(made, version=versions[number], seq=n, time=at, entry=f"{at}-0"))
    return records


def found(records: list[ev.Record]) -> set[str]:
    queue = records[0].partition
    return audit_history(records, others=[Bounds({queue: 1})]).names


ONE_BY_ONE = [(1, KEYED), (2, KEYED), (1, STARTED), (1, DONE), (2, STARTED), (2, DONE)]
UNIQUE = [(1, LOCKED), (1, STARTED), (1, DONE), (2, LOCKED), (2, STARTED)]
REDRIVEN = [*UNIQUE[:3], (1, ev.JobRedriven("ada")), (2, LOCKED)]
DUE = [(1, LATER), (1, ev.JobQueued("due")), (1, STARTED)]


def test_sound_histories() -> None:
    assert found(mixed(*ONE_BY_ONE)) == set()
    assert found(mixed(*UNIQUE)) == set()
    assert found(mixed(*REDRIVEN)) == set()
    assert found(mixed(*DUE, gap=5000)) == set()


BROKEN: dict[str, tuple[list[ev.Record], set[str]]] = {
    "queued early": (mixed(*DUE, gap=4999), {"queued-early"}),
    "started late, though nothing disturbed it": (mixed(*DUE, gap=5001), {"started-late"}),
    "two of a key at once": (
        mixed((1, KEYED), (2, KEYED), (1, STARTED), (2, STARTED)),
        {"over-limit"},
    ),
    "two that are alike": (mixed((1, LOCKED), (1, STARTED), (2, LOCKED)), {"unique-twice"}),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_what_is_out_of_bounds_is_found(what: str) -> None:
    records, names = BROKEN[what]
    assert found(records) == names


def test_on_a_slow_machine_nothing_starts_late() -> None:
    late, _ = BROKEN["started late, though nothing disturbed it"]
    assert audit_history(late, others=[Bounds(calm_ms=None)]).names == set()


def test_other_keys_and_queues_are_not_held_back() -> None:
    other = ev.JobSubmitted("noop", concurrency_key="other")
    assert found(mixed((1, KEYED), (2, other), (1, STARTED), (2, STARTED))) == set()
    both = mixed((1, KEYED), (2, KEYED), (1, STARTED), (2, STARTED))
    elsewhere = audit_history(both, others=[Bounds({"elsewhere": 1})])
    assert elsewhere.names == set()
    assert job_id(1) in elsewhere.jobs
