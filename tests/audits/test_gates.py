"""Gates that do not fit the jobs, each kind once."""

from __future__ import annotations

import pytest

from millstream.core import events as ev
from millstream.core.audits.report import Report
from tests.invariants import audit_history
from tests.strategies import job_id

from .gates import Gates, audit_gates
from .test_bounds import mixed

SUBMITTED = ev.JobSubmitted("noop")
LIVE = audit_history(
    mixed(
        *[(number, SUBMITTED) for number in (1, 2, 3, 4)],
        (1, ev.JobStarted(1, "w1")),
        (2, ev.JobBlocked("concurrency of type noop")),
        (4, ev.JobStarted(1, "w1")),
        (4, ev.JobSnoozed(1000)),
    )
).jobs
RUNS, BLOCKED, SNOOZED, GHOST = job_id(1), job_id(2), job_id(4), job_id(9)


def gates(
    *,
    running: set[str] | None = None,
    parked: dict[str, set[str]] | None = None,
    waiting: set[str] | None = None,
    blocked: dict[str, str] | None = None,
) -> Gates:
    """One job has passed the gate `t:noop`, one waits there, unless it is said otherwise."""
    return Gates(
        running={"t:noop": {RUNS} if running is None else running},
        parked={"t:noop": {BLOCKED}} if parked is None else parked,
        waiting={"t:noop"} if waiting is None else waiting,
        blocked={BLOCKED: "t:noop"} if blocked is None else blocked,
    )


def found(given: Gates) -> set[str]:
    report = Report()
    audit_gates(report, "default", given, LIVE)
    return report.names


def test_sound_gates() -> None:
    assert found(gates()) == set()


NONE: dict[str, set[str]] = {}
BROKEN: dict[str, tuple[Gates, set[str]]] = {
    "at two gates": (
        gates(parked={"t:noop": {BLOCKED}, "q": {BLOCKED}}, waiting={"t:noop", "q"},
              blocked={BLOCKED: "q"}),
        {"parked-twice"},
    ),
    "at another gate than it says": (gates(blocked={BLOCKED: "q"}), {"parked-differs"}),
    "at a gate nobody looks at": (gates(waiting=set()), {"gates-differ"}),
    "at no gate": (gates(parked=NONE, waiting=set(), blocked={}), {"parked-missing"}),
    "waits though it runs": (
        gates(parked={"t:noop": {BLOCKED, RUNS}}, blocked={BLOCKED: "t:noop", RUNS: "t:noop"}),
        {"parked-missing"},
    ),
    "waits though it is gone": (
        gates(parked={"t:noop": {BLOCKED, GHOST}}, blocked={BLOCKED: "t:noop", GHOST: "t:noop"}),
        {"parked-orphan"},
    ),
    "a place of one that is gone": (gates(running={RUNS, GHOST}), {"slot-leaked"}),
    "a place of one that sleeps": (gates(running={RUNS, SNOOZED}), {"slot-leaked"}),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_gates_are_found(what: str) -> None:
    given, names = BROKEN[what]
    assert found(given) == names
