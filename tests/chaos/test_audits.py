"""What the audits of a run find, each kind once."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.upcast import decode
from tests.audits.test_history import life
from tests.audits.test_operations import log
from tests.audits.watched import Audit
from tests.invariants import Report, audit_history
from tests.strategies import START_MS, job_id

from .causes import Causes
from .ends import Ends
from .injury import Injury
from .judgement import complain
from .plan import Fault
from .stage import Exit
from .witness import Witness

NOW = START_MS / 1000
EXPIRED = life(ev.JobSubmitted("noop"), ev.JobStarted(1, "w1"), ev.JobLeaseExpired("w1", 1))
FAILED = ev.Fault("ValueError", "x")


def of_kind(kind: str, payload: Any = None) -> ev.JobSubmitted:
    return ev.JobSubmitted("chaos.any", payload=wrap(payload), metadata={"kind": kind})


def audited(records: list[ev.Record], audit: Audit) -> Report:
    return audit_history(records, others=[audit])


def causes(injuries: list[Injury], exits: list[Exit], *, timed: bool = True) -> Causes:
    def role_of(worker: str) -> str:
        return {"w1": "worker-1"}[worker]

    return Causes(role_of, injuries, exits, lease=3, timed=timed)


def hurt(kind: str, target: str, ago: float) -> Injury:
    return Injury(Fault(0, kind, target, 1), NOW - ago - 1, NOW - ago)


@pytest.mark.parametrize(
    ("injuries", "exits", "cause"),
    [
        ([hurt("freeze", "worker-1", 2)], [], "freeze"),
        ([hurt("cut", "worker-1>valkey", 2)], [], "cut worker-1>valkey"),
        ([hurt("kill-server", "valkey", 2), hurt("cut", "api>valkey", 1)], [],
         "kill-server valkey"),
        ([], [Exit("worker-1", 7, -9, True, NOW - 4)], "its worker had ended"),
        ([], [Exit("worker-1", 7, -9, False, NOW - 4)], "its worker had died by itself"),
    ],
)  # fmt: skip
def test_a_lease_that_expired_has_its_cause(
    injuries: list[Injury], exits: list[Exit], cause: str
) -> None:
    audit = causes(injuries, exits)
    audited(EXPIRED, audit).require()
    assert audit.causes == {cause: 1}


@pytest.mark.parametrize(
    ("injuries", "exits"),
    [
        ([], []),
        ([hurt("freeze", "worker-2", 2), hurt("part", "api>valkey", 2)], []),
        ([hurt("freeze", "worker-1", 60)], []),
        ([], [Exit("worker-2", 7, -9, True, NOW - 4)]),
    ],
)
def test_a_lease_that_expired_for_no_reason_is_found(
    injuries: list[Injury], exits: list[Exit]
) -> None:
    assert audited(EXPIRED, causes(injuries, exits)).names == {"expired-uncaused"}


def test_on_a_slow_machine_a_lease_may_expire_of_nothing() -> None:
    audit = causes([], [], timed=False)
    audited(EXPIRED, audit).require()
    assert audit.causes == {"nothing that is known": 1}


def test_a_loop_that_was_blocked_is_a_cause() -> None:
    blocking = ev.JobSubmitted("chaos.blocking")
    records = log((blocking, ev.JobStarted(1, "w1")), tuple(map(decode, EXPIRED)))
    audit = causes([], [])
    audited(records, audit).require()
    assert audit.causes == {"a handler had blocked its loop": 1}
    records = log((blocking, ev.JobStarted(1, "w2")), tuple(map(decode, EXPIRED)))
    assert audited(records, causes([], [])).names == {"expired-uncaused"}


STARTED = ev.JobStarted(1, "w1")
SUCCEEDED, POISON = ev.JobSucceeded(), ev.JobFailed("poison")
EXHAUSTED = (STARTED, ev.JobAttemptFailed(FAILED), ev.JobFailed("exhausted"))


@pytest.mark.parametrize(
    "history",
    [
        (of_kind("Immediate"), STARTED, SUCCEEDED),
        (of_kind("Failing"), *EXHAUSTED),
        (of_kind("Immediate"), ev.JobCancelled("ada")),
        (of_kind("Immediate"), STARTED, ev.JobLeaseExpired("w1", 1), POISON),
        (of_kind("Parent", 0), STARTED, SUCCEEDED),
        (of_kind("Failing"),),
    ],
)
def test_ends_as_they_may_be(history: tuple[ev.Event, ...]) -> None:
    audited(life(*history), Ends(max_crashes=1)).require()


@pytest.mark.parametrize(
    ("history", "name"),
    [
        ((of_kind("Immediate"), *EXHAUSTED), "wrong-end"),
        ((of_kind("Failing"), STARTED, SUCCEEDED), "wrong-end"),
        ((of_kind("Immediate"), STARTED, POISON), "wrong-end"),
        ((of_kind("Parent", 1), STARTED, SUCCEEDED), "children-missing"),
    ],
)
def test_ends_as_they_may_not_be(history: tuple[ev.Event, ...], name: str) -> None:
    assert audited(life(*history), Ends(max_crashes=1)).names == {name}


def test_only_who_waits_for_others_fails_with_them() -> None:
    failed = ev.JobFailed("parent_failed")
    assert audited(life(of_kind("Immediate"), failed), Ends(max_crashes=1)).names == {"wrong-end"}
    after = ev.JobSubmitted("chaos.any", metadata={"kind": "Immediate", "after": "0"})
    audited(life(after, failed), Ends(max_crashes=1)).require()


def test_children_are_counted() -> None:
    child = ev.JobSubmitted("chaos.quick", metadata={"parent": job_id(1), "place": "0"})
    records = log((of_kind("Parent", 1), STARTED, SUCCEEDED), (child, STARTED, SUCCEEDED))
    audited(records, Ends(max_crashes=1)).require()


def witness_of(told: dict[str, Any], verified: tuple[int, str] = (0, "")) -> Report:
    witness, report = Witness(), Report()
    witness.hear(told)
    witness.verified = verified
    witness.close(report)
    return report


def audit_told(**counts: int) -> dict[str, Any]:
    examples = {kind: [{"id": job_id(1), "why": "x"}] * count for kind, count in counts.items()}
    sums = {"lost": 0, "doubled": 0, "stuck": 0} | counts
    return {**sums, "items": [{"queue": "default", "examples": examples}]}


def test_what_the_system_says_of_itself() -> None:
    witness_of(audit_told()).require()
    assert witness_of(audit_told(lost=1)).names == {"told-lost", "told-astray"}
    assert witness_of(audit_told(doubled=1)).names == {"told-doubled", "told-astray"}
    assert witness_of(audit_told(stuck=1)).names == {"told-astray"}
    assert witness_of(audit_told(), (1, "row-differs")).names == {"not-verified"}


def test_what_was_lost_once_is_not_forgotten() -> None:
    witness, report = Witness(), Report()
    witness.hear(audit_told(lost=1))
    witness.hear(audit_told())
    witness.close(report)
    assert report.names == {"told-lost"}


def test_what_was_stuck_for_a_moment_is_only_counted() -> None:
    witness, report = Witness(), Report()
    witness.hear(audit_told(stuck=1))
    witness.hear(audit_told())
    witness.close(report)
    assert (report.names, witness.stuck) == (set(), 1)


def test_answers_that_none_should_get_and_roles_that_end() -> None:
    report = Report()
    exits = [Exit("api", 7, 1, True, NOW), Exit("worker-1", 8, -9, False, NOW)]
    complain(report, [], exits)
    report.require()
    complain(report, ["a submission: 500"], [*exits, Exit("api", 9, 1, False, NOW)])
    assert report.names == {"unexpected-answer", "role-ended"}
