"""Flows that ran in an order they must not, each kind once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from millstream.core import events as ev
from tests.invariants import audit_history
from tests.strategies import job_id

from .parents import Parents
from .test_bounds import mixed

PARENT = ev.JobSubmitted("noop", metadata={"op": "1", "place": "0"})
FAULT = ev.Fault("ValueError", "x")


def child(policy: str = "fail") -> ev.JobSubmitted:
    made = {"op": "1", "place": "1", "after": "0", "policy": policy}
    return ev.JobSubmitted("noop", metadata=made)


STARTED, DONE = ev.JobStarted(1, "w1"), ev.JobSucceeded()
Steps = list[tuple[int, ev.Event]]
FAILS: Steps = [(1, STARTED), (1, ev.JobFailed("exhausted"))]
WHOLE: Steps = [(1, PARENT), (2, child()), (1, STARTED), (1, DONE), (2, STARTED), (2, DONE)]


def found(steps: Steps) -> set[str]:
    return audit_history(mixed(*steps), others=[Parents()]).names


@pytest.mark.parametrize(
    "steps",
    [
        WHOLE,
        [(1, PARENT), (2, child("run")), *FAILS, (2, STARTED), (2, DONE)],
        [(1, PARENT), (2, child()), *FAILS, (2, ev.JobFailed("parent_failed"))],
        [*WHOLE[:4], (1, ev.JobRedriven("ada")), *WHOLE[4:]],
        [(1, PARENT), (2, replace(child(), open=True, depends_on=[job_id(1)])),
         (2, ev.JobExtended([job_id(3)])), (1, STARTED), (1, DONE),
         (2, ev.JobFailed("parent_failed", parent=job_id(3)))],
    ],
)  # fmt: skip
def test_sound_flows(steps: Steps) -> None:
    assert found(steps) == set()


BROKEN: dict[str, tuple[Steps, set[str]]] = {
    "too early": (
        [*WHOLE[:3], WHOLE[4], WHOLE[3]],
        {"started-before-parent"},
    ),
    "though its parent failed": (
        [(1, PARENT), (2, child("cancel")), *FAILS, (2, STARTED)],
        {"ran-without-parent"},
    ),
    "failed, though its parent did not": (
        [*WHOLE[:4], (2, ev.JobFailed("parent_failed"))],
        {"failed-without-cause"},
    ),
    "no parent": ([(2, child())], {"parent-missing"}),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_flows_are_found(what: str) -> None:
    steps, names = BROKEN[what]
    assert found(steps) == names
