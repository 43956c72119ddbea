"""Jobs that went on, or failed, otherwise than those they waited for, each kind once."""

from __future__ import annotations

import pytest

from millstream.core import events as ev
from tests.core.verbs.mill import FAULT
from tests.invariants import audit_history
from tests.strategies import job_id

from .test_bounds import mixed

PARENT = ev.JobSubmitted("noop", max_attempts=1)
STARTED, DONE, JOINED = ev.JobStarted(1, "w1"), ev.JobSucceeded(), ev.JobJoined()
Steps = list[tuple[int, ev.Event]]
SUCCEEDS: Steps = [(1, STARTED), (1, DONE)]
FAILS: Steps = [(1, STARTED), (1, ev.JobAttemptFailed(FAULT)), (1, ev.JobFailed("exhausted"))]


def child(policy: str | None = None, *, open: bool = False) -> ev.JobSubmitted:
    return ev.JobSubmitted("noop", depends_on=[job_id(1)], on_parent_failure=policy, open=open)


def failed(reason: str, number: int = 1) -> ev.JobFailed:
    return ev.JobFailed(reason, parent=job_id(number))


def found(steps: Steps) -> set[str]:
    return audit_history(mixed(*steps)).names


@pytest.mark.parametrize(
    "steps",
    [
        [(1, PARENT), (2, child()), *SUCCEEDS, (2, JOINED)],
        [(1, PARENT), (2, child("run")), *FAILS, (2, JOINED)],
        [(1, PARENT), (2, child()), *FAILS, (2, failed("parent_failed"))],
        [(2, child()), (2, failed("parent_missing"))],
        [(1, PARENT), (2, child(open=True)), *SUCCEEDS, (2, ev.JobClosed("ada")), (2, JOINED)],
        [(2, child()), (2, JOINED)],  # its parent is in a queue that was not read
    ],
)
def test_sound_joins(steps: Steps) -> None:
    assert found(steps) == set()


BROKEN: dict[str, tuple[Steps, set[str]]] = {
    "before its parent ended": (
        [(1, PARENT), (2, child()), (1, STARTED), (2, JOINED)],
        {"joined-early"},
    ),
    "though its parent failed": (
        [(1, PARENT), (2, child()), *FAILS, (2, JOINED)],
        {"joined-early"},
    ),
    "before one that was added": (
        [(1, PARENT), (3, PARENT), (2, child(open=True)), (2, ev.JobExtended([job_id(3)])),
         *SUCCEEDS, (2, ev.JobClosed("ada")), (2, JOINED)],
        {"joined-early"},
    ),
    "while it was open": (
        [(1, PARENT), (2, child(open=True)), *SUCCEEDS, (2, JOINED)],
        {"joined-open"},
    ),
    "failed of a parent that succeeded": (
        [(1, PARENT), (2, child()), *SUCCEEDS, (2, failed("parent_failed"))],
        {"blamed-wrongly"},
    ),
    "failed of a parent that is there": (
        [(1, PARENT), (2, child()), *FAILS, (2, failed("parent_missing"))],
        {"blamed-wrongly"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_joins_are_found(what: str) -> None:
    steps, names = BROKEN[what]
    assert found(steps) == names
