"""Notes that do not fit the events, each kind once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from tests.core.verbs.mill import FAULT
from tests.invariants import Report, audit_history
from tests.strategies import job_id

from .effects import Effects, Note, read_notes
from .test_history import life

JOB = job_id(1)
SUBMITTED = ev.JobSubmitted("test.steps", max_attempts=9)
KEPT, SLEPT = ev.JobCheckpointed("charge"), ev.JobCheckpointed("sleep-1", wake_at=5)


def done(fence: int) -> ev.JobSucceeded:
    return ev.JobSucceeded(wrap({"fence": fence}))


def started(attempt: int) -> ev.JobStarted:
    return ev.JobStarted(attempt, "w1")


LIFE = life(
    SUBMITTED, started(1), KEPT, SLEPT, ev.JobAttemptFailed(FAULT, 5), ev.JobQueued("retry"),
    started(2), done(7),
)  # fmt: skip
REDRIVEN = life(
    SUBMITTED, started(1), KEPT, ev.JobAttemptFailed(FAULT), ev.JobFailed("exhausted"),
    ev.JobRedriven("ada"), started(1), KEPT, done(7),
)  # fmt: skip


def notes(*told: tuple[str, int] | tuple[str, int, str]) -> list[Note]:
    return [Note(JOB, one[1], one[0], one[2] if len(one) > 2 else "") for one in told]


SOUND = notes(("began", 2), ("step", 2, "charge"), ("began", 7), ("done", 7))
AGAIN = notes(("step", 7, "charge"))


def audited(told: list[Note], records: list[ev.Record] = LIFE, prefix: str = "test.") -> Report:
    return audit_history(records, others=[Effects(told, prefix)])


def test_sound_notes() -> None:
    for told, again in ((SOUND, (1, 0)), ([*SOUND, *notes(("done", 2))], (1, 1))):
        effects = Effects(told, "test.")
        audit_history(LIFE, others=[effects]).require()
        assert (effects.ran_again, effects.done_again) == again


BROKEN: dict[str, tuple[list[Note], set[str]]] = {
    "a lease ran twice": ([*SOUND, *notes(("began", 7))], {"run-twice"}),
    "a run that no lease allowed": ([*SOUND, *notes(("began", 5))], {"run-without-lease"}),
    "a run of a job that is not there": (
        [*SOUND, Note(job_id(2), 2, "began")],
        {"run-without-lease"},
    ),
    "a success that was none": (SOUND[:-1], {"succeeded-undone"}),
    "a step that was done again": ([*SOUND, *AGAIN], {"step-again"}),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_notes_are_found(what: str) -> None:
    told, names = BROKEN[what]
    assert audited(told).names == names


def test_a_result_of_another_lease_is_found() -> None:
    assert audited(SOUND, [*LIFE[:-1], life(*[SUBMITTED] * 7, done(2))[-1]]).names == {
        "stale-result"
    }


def test_results_of_other_types_are_not_looked_at() -> None:
    assert audited([], prefix="other.").names == set()


def test_a_redriven_job_does_its_steps_again_and_once() -> None:
    told = [*notes(("began", 2), ("step", 2, "charge")), *SOUND[2:], *AGAIN]
    audited(told, REDRIVEN).require()
    later = life(
        *[SUBMITTED, started(1), KEPT, ev.JobAttemptFailed(FAULT), ev.JobFailed("exhausted")],
        *[ev.JobRedriven("ada"), started(1), KEPT, ev.JobLeaseExpired("w1", 1), started(1)],
        done(10),
    )
    told = [*told, *notes(("began", 10), ("done", 10), ("step", 10, "charge"))]
    assert audited(told, later).names == {"step-again"}


def test_a_line_cut_off_is_no_note(tmp_path: Path) -> None:
    lines = b"".join(msgspec.json.encode(note) + b"\n" for note in SOUND)
    (tmp_path / "notes-1.jsonl").write_bytes(lines[:-3])
    (tmp_path / "notes-2.jsonl").write_bytes(lines)
    assert read_notes(tmp_path) == [*SOUND[:-1], *SOUND]
