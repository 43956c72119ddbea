"""What clients were told and the log does not hold, each kind once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from millstream.core import events as ev
from tests.invariants import Report, audit_history
from tests.strategies import START_MS, job_id

from .operations import Operation, Operations
from .test_history import life

ONE, TWO, CHILD = job_id(1), job_id(2), job_id(3)


def submitted(**origin: str) -> ev.JobSubmitted:
    return ev.JobSubmitted("noop", metadata=origin)


def log(*jobs: tuple[ev.Event, ...]) -> list[ev.Record]:
    """A log of several jobs, one after the other."""
    found = [record for n, job in enumerate(jobs, 1) for record in life(*job, number=n)]
    return [
        replace(record, seq=n, time=START_MS + n, entry=f"{START_MS + n}-0")
        for n, record in enumerate(found, 1)
    ]


def submit(phase: str, *jobs: str) -> Operation:
    return Operation(1, "submit", phase, jobs, keyed=True)  # pyright: ignore[reportArgumentType]


REDRIVEN = (
    submitted(op="1", place="1"),
    ev.JobCancelled("op-2"),
    ev.JobRedriven("op-3"),
)
LOG = log(
    (submitted(op="1", place="0"),), REDRIVEN, (submitted(parent=ONE, place="0"),),
    (ev.JobSubmitted("noop", schedule="s", occurrence=5),),
)  # fmt: skip
LINES = [
    submit("invoked"),
    submit("unknown"),
    submit("ok", ONE, TWO),
    submit("ok", ONE, TWO),
    Operation(2, "cancel", "invoked", [TWO]),
    Operation(2, "cancel", "ok", [TWO]),
    Operation(3, "retry", "invoked", [TWO]),
    Operation(3, "retry", "ok", [TWO]),
    Operation(4, "bulk", "invoked"),
    Operation(4, "bulk", "ok", count=0),
    Operation(5, "submit", "invoked"),
    Operation(5, "submit", "failed"),
]


def audited(lines: list[Operation], records: list[ev.Record]) -> Report:
    report = audit_history(records, others=[Operations(lines)])
    report.violations = [one for one in report.violations if one.name != "fired-missing"]
    return report


def test_sound_operations() -> None:
    audited(LINES, LOG).require()
    assert Operations(LINES).counts["submit ok"] == 2
    assert Operations(LINES).acknowledged == [ONE, TWO, ONE, TWO]


def test_what_has_no_answer_may_be_done_or_not() -> None:
    lines = [line for line in LINES if line.phase == "invoked"]
    unknown = [replace(line, phase="unknown") for line in lines]
    audited([*lines, *unknown], LOG).require()
    audited([*lines, *unknown], []).require()
    refused = [*LINES[:2], submit("failed"), *LINES[4:]]
    audited(refused, LOG).require()


NOTHING = Operation(9, "submit", "invoked")
BROKEN: dict[str, tuple[list[Operation], list[ev.Record], set[str]]] = {
    "a submission lost": (
        [*LINES, NOTHING, Operation(9, "submit", "ok", [job_id(9)])],
        LOG,
        {"acknowledged-lost"},
    ),
    "another reply to the same request": ([*LINES, submit("ok", TWO, ONE)], LOG, {"reply-changed"}),
    "a request done twice": (
        LINES,
        log((submitted(op="1", place="0"),), REDRIVEN, (submitted(op="1", place="0"),)),
        {"submitted-again"},
    ),
    "a child submitted twice": (
        LINES,
        log((submitted(op="1", place="0"),), REDRIVEN, *[(submitted(parent=ONE, place="0"),)] * 2),
        {"submitted-again"},
    ),
    "a job of nobody": (
        LINES,
        log((submitted(op="1", place="0"),), REDRIVEN, (ev.JobSubmitted("noop"),)),
        {"uncalled"},
    ),
    "a job of a request that nobody made": (
        [line for line in LINES if line.op != 1],
        LOG,
        {"uncalled"},
    ),
    "a cancellation lost": (
        [*LINES, Operation(6, "cancel", "ok", [ONE])],
        LOG,
        {"command-lost"},
    ),
    "a retry lost": ([*LINES, Operation(6, "retry", "ok", [ONE])], LOG, {"command-lost"}),
    "an action told wrongly": (
        [*LINES, Operation(4, "bulk", "invoked"), Operation(8, "bulk", "ok", count=1)],
        LOG,
        {"command-lost"},
    ),
    "a command that was refused, and done": (
        [replace(line, phase="failed") if line.op == 3 and line.phase == "ok" else line
         for line in LINES],
        LOG,
        {"failed-done"},
    ),
    "a submission that was refused, and done": (
        [LINES[0], submit("failed"), *LINES[4:]],
        LOG,
        {"failed-done"},
    ),
    "a command done twice": (
        LINES,
        log(
            (submitted(op="1", place="0"),),
            (*REDRIVEN, ev.JobCancelled("op-2")),
        ),
        {"command-doubled"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_operations_are_found(what: str) -> None:
    lines, records, names = BROKEN[what]
    assert audited(lines, records).names == names
