"""Hot state of jobs that wait for others, broken in each way once."""

from __future__ import annotations

import pytest

from millstream.core import events as ev
from millstream.core.audits.history import History
from millstream.core.audits.report import Report
from tests.strategies import job_id

from .hot import Hot
from .links import AWAITED, DEPENDENT, audit_awaited, audit_links
from .test_history import life

PARENT, CHILD, GHOST = job_id(7), job_id(1), job_id(9)
WAITS, QUEUED = bytes([DEPENDENT, 5, 0]), bytes([1, 5, 0])


def hot(
    *, parents: set[str] | None = None, listed: bool = True, awaited: set[str] | None = None
) -> Hot:
    """Of a job that waits for `PARENT`, unless it is said otherwise."""
    found = Hot()
    found.parents = {CHILD: {PARENT} if parents is None else parents}
    found.dependents = {CHILD} if listed else set()
    found.awaited = {} if awaited is None else {CHILD: awaited}
    return found


def found(raw: bytes, given: Hot, *, waits: bool = True) -> set[str]:
    history, report = History(), Report()
    for record in life(ev.JobSubmitted("noop", depends_on=[PARENT] if waits else [])):
        history.take(record)
    audit_links(report, history.tracks[CHILD], raw, given)
    return report.names


def test_sound_links() -> None:
    assert found(WAITS, hot()) == set()
    assert found(QUEUED, Hot(), waits=False) == set()
    assert found(WAITS[:2] + bytes([AWAITED]), hot(awaited={GHOST})) == set()


@pytest.mark.parametrize(
    ("raw", "given", "name"),
    [
        (QUEUED, hot(), "wait-differs"),
        (WAITS, hot(listed=False), "wait-differs"),
        (WAITS, hot(parents={PARENT, GHOST}), "parents-differ"),
        (WAITS, hot(awaited={GHOST}), "awaited-flag"),
    ],
)
def test_broken_links_are_found(raw: bytes, given: Hot, name: str) -> None:
    assert found(raw, given) == {name}


def test_a_job_that_waits_for_nothing_has_no_place_among_those_that_do() -> None:
    assert found(QUEUED, hot(parents=set()), waits=False) == {"wait-differs"}


def test_who_waits_for_a_job_that_ended_wants_it_to_be_run_again() -> None:
    for members, names in (({f"{GHOST}*"}, set()), ({GHOST}, {"awaited-orphan"})):
        report = Report()
        audit_awaited(report, hot(awaited=members), live=set())
        assert report.names == names


def test_those_whom_a_job_left_are_told_by_the_outbox() -> None:
    for leaving, announced in ((set(), {CHILD}), ({CHILD}, set())):
        report = Report()
        audit_awaited(report, Hot(leaving=leaving, announced=announced), set())
        assert report.names == {"leaving-differs"}
