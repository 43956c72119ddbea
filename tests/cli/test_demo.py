"""`millstream demo` as a user runs it, and its judge: a check that cannot fail proves nothing."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from millstream.cli.demo.plan import DATA_DAYS, ROUNDS, plan
from millstream.cli.demo.promises import PROMISES, Evidence
from millstream.cli.demo.session import EventShown, Outcome

LATE = """
from millstream.cli.demo import plan
from millstream.cli.main import main
plan.DELAY = 3600
main()
"""
"""The demo with a delayed job that does not end while somebody waits."""


def demo(folder: Path, *args: str, program: str = "") -> subprocess.CompletedProcess[str]:
    what = ["-c", program] if program else ["-m", "millstream.cli"]
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return subprocess.run(
        [sys.executable, *what, "demo", *args],
        env=environ | {"TMPDIR": str(folder), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def left_over(folder: Path) -> list[list[str]]:
    """Processes that name the folder in their arguments or work in it."""
    found: list[list[str]] = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([*process.cmdline(), process.cwd()]):
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_the_demo_holds_its_promises_and_leaves_nothing(tmp_path: Path) -> None:
    done = demo(tmp_path, "--timeout", "180")
    assert done.returncode == 0, done.stdout + done.stderr
    for promise in PROMISES:
        assert promise.text in done.stdout
    assert done.stdout.count("held") == len(PROMISES)
    assert "broken" not in done.stdout
    for shown in ("Ready at http://127.0.0.1:", "waiting", "job.attempt_failed", "Mails: 100"):
        assert shown in done.stdout
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_jobs_that_take_too_long_are_told_and_nothing_is_left(tmp_path: Path) -> None:
    done = demo(tmp_path, "--timeout", "1", program=LATE)
    assert done.returncode == 1
    assert "not all jobs ended within 1 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_over(tmp_path) == []


def test_the_plan_is_a_few_hundred_jobs_of_every_kind() -> None:
    kinds = {planned.kind for planned in plan()}
    assert kinds == {"query", "mail", "flaky", "delayed", "bounced", "broken", "cancelled"}
    assert 200 <= len(plan()) <= 500


# ------------------------------------------------------------------------------ the judge, alone


def event(job: str, version: int, type_: str, **body: Any) -> EventShown:
    position, time = f"default:1:{version}", datetime(2026, 1, 1, tzinfo=UTC)
    return EventShown(position, time, type_, job, version, msgspec.Raw(msgspec.json.encode(body)))


def outcome(number: int) -> Outcome:
    """What a job that went as planned looks like."""
    planned = plan()[number]
    job = f"job-{number}"
    failed = {"type": "E", "message": "no"}
    history = [event(job, 1, "job.submitted", type="t", payload={"data": 1, "codec": "json"})]
    for attempt in range(1, planned.attempts + 1):
        history.append(event(job, len(history) + 1, "job.started", attempt=attempt, worker="w"))
        last = attempt == planned.attempts
        if not last or planned.state == "failed":
            body: dict[str, Any] = {"error": failed} if last else {"error": failed, "retry_ms": 1}
            history.append(event(job, len(history) + 1, "job.attempt_failed", **body))
            if not last:
                history.append(event(job, len(history) + 1, "job.queued", cause="retry"))
    end = {"failed": {"reason": "exhausted"}, "succeeded": {}, "cancelled": {}}[planned.state]
    history.append(event(job, len(history) + 1, f"job.{planned.state}", **end))
    shown = {
        "id": job,
        "state": planned.state,
        "attempt": planned.attempts,
        "version": len(history),
        "error": failed if planned.state == "failed" else None,
        "result": {"rows": [[DATA_DAYS * ROUNDS // (48 * ROUNDS)]]},
        "submitted_at": "2026-01-01T00:00:00Z",
        "started_at": "2026-01-01T00:00:02Z",
    }
    return Outcome(planned, shown, history)


@pytest.fixture
def evidence() -> Evidence:
    """Of a demo in which all went well."""
    outcomes = [outcome(number) for number in range(len(plan()))]
    queries = [one for one in outcomes if one.planned.kind == "query"]
    for number, one in enumerate(queries):  # 1461 days do not divide evenly into 48 months
        one.job["result"]["rows"][0][0] = DATA_DAYS // 48 + (number % 48 < DATA_DAYS % 48)
    states = [one.job["state"] for one in outcomes]
    counts = {state: states.count(state) for state in (*set(states), "running")}
    figures = {"wait_ms": {"p50": 1.0}, "run_ms": {"p50": 1.0}}
    before = {"by_state": dict.fromkeys(counts, 7), "total": 21}
    after = {"by_state": {state: 7 + count for state, count in counts.items()}, **figures}
    mails = {
        f"<{one.job['id']}@example.org>": 1
        for one in outcomes
        if one.planned.kind in ("mail", "flaky")
    }
    return Evidence(outcomes, before, after, mails)


def broken(evidence: Evidence) -> dict[str, list[str]]:
    """Check → its faults, of those that found any."""
    found = {promise.faults.__name__: list(promise.faults(evidence)) for promise in PROMISES}
    return {name: faults for name, faults in found.items() if faults}


def test_a_demo_in_which_all_went_well_breaks_no_promise(evidence: Evidence) -> None:
    assert broken(evidence) == {}


def test_a_job_that_ended_otherwise_is_found(evidence: Evidence) -> None:
    evidence.outcomes[0].job["attempt"] = 2
    assert list(broken(evidence)) == ["as_planned"]
    evidence.outcomes[0].job["state"] = "failed"
    assert list(broken(evidence)) == ["as_planned", "legal"]


def test_counters_that_are_off_by_one_are_found(evidence: Evidence) -> None:
    after: Any = copy.deepcopy(evidence.after)
    after["by_state"]["succeeded"] += 1
    assert broken(evidence._replace(after=after)).keys() == {"counted"}
    after["by_state"]["succeeded"] -= 1
    after["wait_ms"]["p50"] = None
    assert broken(evidence._replace(after=after)).keys() == {"counted"}


def test_a_history_with_a_hole_or_an_illegal_step_is_found(evidence: Evidence) -> None:
    first, second = evidence.outcomes[:2]
    del first.history[1]
    second.history[-1] = event("job-1", 3, "job.queued", cause="due")
    second.history.append(event("job-1", 4, "job.succeeded"))
    second.job["version"] = 4
    assert len(broken(evidence)["legal"]) == 2


def test_a_lost_a_doubled_and_a_foreign_mail_are_found(evidence: Evidence) -> None:
    mails: dict[str, int] = dict(evidence.mails)
    lost, doubled, *_ = mails
    del mails[lost]
    mails[doubled] = 2
    mails["<other@example.org>"] = 1
    found = broken(evidence._replace(mails=mails))
    assert found.keys() == {"delivered"}
    assert len(found["delivered"]) == 3


def test_an_answer_that_is_wrong_is_found(evidence: Evidence) -> None:
    evidence.outcomes[0].job["result"]["rows"][0][0] += 1
    assert broken(evidence).keys() == {"adds_up"}


def test_a_delayed_job_that_started_early_is_found(evidence: Evidence) -> None:
    delayed = next(one for one in evidence.outcomes if one.planned.kind == "delayed")
    delayed.job["started_at"] = "2026-01-01T00:00:01.999Z"
    assert broken(evidence).keys() == {"not_early"}
