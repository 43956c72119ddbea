"""Commands that ask what was, and why, as they are run; and the examples of their pages."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import pytest

from millstream.core.export import FileEntry, load, read_export

from .commands import Commands, on_terminal
from .conftest import Serving
from .pages import run_script, scripts
from .test_operating_commands import said, until

FAR = "2999-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def millstream(serving: Serving) -> Iterator[Commands]:
    with serving() as commands:
        commands.environ["USER"] = "ada"
        yield commands


def test_jobs_and_queues_as_they_were(millstream: Commands) -> None:
    # With a delay, for at the end of the ms it was submitted in it might have been running by now.
    how = ("--queue", "was", "--delay", "0.1", "--wait", "60")
    job = millstream.submit("flaky", {"failures": 1}, *how)
    begun, ended = job["submitted_at"], job["finished_at"]
    then = said(millstream, "jobs", "show", job["id"], "--at", begun)
    assert (then["state"], then["version"]) == ("scheduled", 1)
    assert said(millstream, "jobs", "show", job["id"], "--at", ended)["result"] == job["result"]
    listed = millstream.lines("jobs", "list", "--queue", "was", "--at", begun)
    assert [(one["id"], one["state"]) for one in listed] == [(job["id"], "scheduled")]
    assert millstream.lines("jobs", "--queue", "was", "--state", "failed", "--at", ended) == []
    counts = said(millstream, "queues", "show", "was", "--at", begun)
    assert (counts["total"], counts["by_state"]["scheduled"]) == (1, 1)
    found = said(millstream, "queues", "diff", "was", "--from", begun, "--to", ended)
    assert found["by_state"]["succeeded"] == {"before": 0, "after": 1, "change": 1}
    found = said(millstream, "jobs", "diff", job["id"], "--from", begun)
    assert found["changes"]["state"] == {"before": "scheduled", "after": "succeeded"}
    assert found["events"][-1]["type"] == "job.succeeded"


def test_instants_that_cannot_be(millstream: Commands) -> None:
    job = millstream.submit("hello", {})["id"]
    done = millstream("jobs", "show", job, "--at", FAR)
    assert done.returncode == 2
    assert "expected a time that has passed" in done.stderr
    done = millstream("jobs", "show", job, "--at", "2020-01-01T00:00:00Z")
    assert done.returncode == 2
    assert "did not exist at 2020-01-01" in done.stderr
    assert millstream("queues", "diff", "default").returncode == 2


def test_the_example_of_time_travel(millstream: Commands, tmp_path: Path) -> None:
    (script,) = scripts("time-travel.md")
    begun = ended = job = ""
    while begun == ended:  # in one ms with its start it was running by then
        job = millstream.submit("hello", {}, "--wait", "60")["id"]
        until(lambda id=job: said(millstream, "jobs", "show", id)["position"])
        shown = said(millstream, "jobs", "show", job)
        begun, ended = shown["submitted_at"], shown["started_at"]
    lines = run_script(script, tmp_path, millstream.environ | {"JOB": job}).splitlines()
    at, diff, *listed, counts, change = map(json.loads, lines)
    assert (at["state"], diff["changes"]["state"]["after"]) == ("queued", "succeeded")
    assert job in [one["id"] for one in listed]
    assert counts["by_state"]["queued"] >= 1
    assert change["by_state"]["succeeded"]["change"] >= 1


def codes(found: Any) -> list[str]:
    return [one["code"] for one in found["sentences"]]


def test_why_on_the_command_line(millstream: Commands) -> None:
    job = millstream.submit("flaky", {"failures": 1}, "--wait", "60")["id"]
    found = said(millstream, "why", job)
    assert found["id"] == job
    assert codes(found) == ["submitted", "ran_again.failed", "succeeded"]
    shown = on_terminal(millstream, "why", job)
    assert "attempt 1 had failed" in shown
    assert found["sentences"][0]["events"][0] in shown
    for args in ([], [job, "--schedule", "nightly"]):
        done = millstream("why", *args)
        assert (done.returncode, "expected either a job or --schedule" in done.stderr) == (2, True)


def test_why_occurrences_are_skipped(millstream: Commands) -> None:
    plan = ("busy", "hello", "--every", "1", "--overlap", "skip", "--payload", '{"after": 30}')
    assert millstream("schedules", "create", *plan).returncode == 0
    until(lambda: "schedule.skipped" in codes(said(millstream, "why", "--schedule", "busy")))
    found = said(millstream, "why", "--schedule", "busy")
    skipped = next(one for one in found["sentences"] if one["code"] == "schedule.skipped")
    assert "a job of an earlier occurrence had not ended" in skipped["text"]
    assert len(skipped["events"]) == 1
    assert millstream("schedules", "delete", "busy").returncode == 0


def test_the_example_of_why(millstream: Commands, tmp_path: Path) -> None:
    (script,) = scripts("why.md")
    lines = run_script(script, tmp_path, millstream.environ).splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    paused, again = [answer for answer in answers if "sentences" in answer]
    assert codes(paused)[0] == "waits.paused"
    assert paused["sentences"][0]["text"].endswith("(a bad release): nothing of it is started.")
    assert "redriven" in codes(again)


def exported(folder: Path, queue: str) -> list[dict[str, Any]]:
    """An export in JSON lines, as `millstream events` would tell it."""
    return [
        {"seq": r.seq, "type": r.type, "job_id": r.job or None, "body": json.loads(r.body)}
        for r in read_export(folder, queue)
    ]


def told(millstream: Commands, queue: str) -> list[dict[str, Any]]:
    events = millstream.lines("events", "--queue", queue)
    return [{name: one[name] for name in ("seq", "type", "job_id", "body")} for one in events]


def test_an_export_is_the_log(millstream: Commands, tmp_path: Path) -> None:
    millstream.submit("flaky", {"failures": 1}, "--queue", "out", "--wait", "60")
    for format_ in ("jsonl", "csv", "parquet"):
        out = tmp_path / format_
        found = said(
            millstream, "events", "export", "--format", format_, "--out", str(out), "--queue", "out"
        )
        events = told(millstream, "out")
        assert exported(out, "out") == events
        assert (found["events"], found["complete"], found["missing"]) == (len(events), True, 0)
        again = said(
            millstream, "events", "export", "--format", format_, "--out", str(out), "--queue", "out"
        )
        assert again == found


def test_an_export_that_is_killed_goes_on(millstream: Commands, tmp_path: Path) -> None:
    jobs = [{"type": "hello", "payload": {}, "queue": "killed", "delay": 86400}] * 3000
    answer = httpx2.post(f"{millstream.url}/api/v1/jobs/batch", json={"jobs": jobs}, timeout=30)
    assert answer.status_code == 201, answer.text
    count = len(told(millstream, "killed"))
    for number in range(20):  # one that was hit before it was done
        out = tmp_path / str(number)
        args = ("events", "export", "--out", str(out), "--queue", "killed", "--part", "20")
        if broken_off(millstream.command(*args), millstream.environ, out):
            break
    else:
        pytest.fail("expected one of 20 exports to be broken off")
    kept = files_of(out)
    assert len(exported(out, "killed")) == 20 * len(kept)
    found = said(millstream, *args)
    assert (found["events"], found["complete"]) == (count, True)
    assert files_of(out)[: len(kept)] == kept
    assert exported(out, "killed") == told(millstream, "killed")[:count]


def broken_off(command: list[str], environ: dict[str, str], out: Path) -> bool:
    """Kill an export that has written some files; whether it had more to write."""
    with subprocess.Popen(command, env=environ) as process:
        until(lambda: len(files_of(out)) >= 5)
        process.kill()
        return process.wait() == -signal.SIGKILL and len(files_of(out)) < 150


def files_of(out: Path) -> list[FileEntry]:
    manifest = load(out)
    return [] if manifest is None else manifest.files


def test_a_terminal_gets_a_bar(millstream: Commands, tmp_path: Path) -> None:
    millstream.submit("hello", {}, "--queue", "bar", "--wait", "60")
    shown = on_terminal(millstream, "events", "export", "--out", str(tmp_path), "--queue", "bar")
    assert "events" in shown
    assert re.search(r" (\d+)/\1 ", shown), shown


def test_an_import_tells_on_a_terminal_how_far_it_is(millstream: Commands, tmp_path: Path) -> None:
    millstream.submit("hello", {}, "--queue", "back", "--wait", "20")
    args = "--out", str(tmp_path), "--queue", "back"
    assert millstream("events", "export", *args).returncode == 0
    (file,) = files_of(tmp_path)
    shown = on_terminal(millstream, "import", str(tmp_path))
    assert f" {file.count}/{file.count} events" in shown, shown
    assert "0 events imported" in shown, "the archive had them"
    piped = millstream("import", str(tmp_path))
    assert (piped.stdout, piped.stderr) == (f"{tmp_path}: 0 events imported\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--queue", "nobody-used-it"], "--queue: expected a used queue"),
        (["--from", "yesterday"], "--from: expected a time such as"),
        (["--to", "2027-01-31T08:00:00"], "--to: expected a time such as"),
        (["--from", FAR, "--to", FAR], f"--to: expected a time after --from, {FAR}, got {FAR}"),
        (["--format", "csv"], "of other events or in another format"),
    ],
)
def test_exports_that_cannot_be(
    millstream: Commands, tmp_path: Path, args: list[str], said: str
) -> None:
    millstream.submit("hello", {}, "--queue", "was")
    assert millstream("events", "export", "--out", str(tmp_path), "--queue", "was").returncode == 0
    done = millstream("events", "export", "--out", str(tmp_path), *args)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_export_to_a_place_that_takes_none(millstream: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = millstream("events", "export", "--out", str(tmp_path / "file" / "audit"))
    assert done.returncode == 2
    assert done.stderr == f"millstream: {tmp_path}/file/audit: Not a directory\n"


@pytest.mark.parametrize("command", ["verify", "restore", "proof-heads"])
def test_a_queue_that_is_not_there_is_refused(millstream: Commands, command: str) -> None:
    done = millstream(command, "--queue", "nobody-used-it")
    assert (done.returncode, done.stdout) == (2, "")
    assert "queue: expected one that was used before (" in done.stderr
    assert "got: 'nobody-used-it'" in done.stderr


def test_an_import_of_a_queue_that_no_export_has_is_refused(
    millstream: Commands, tmp_path: Path
) -> None:
    millstream.submit("hello", {}, "--queue", "was")
    assert millstream("events", "export", "--out", str(tmp_path), "--queue", "was").returncode == 0
    done = millstream("import", str(tmp_path), "--queue", "nobody-used-it")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected one that was used before (was), got: 'nobody-used-it'" in done.stderr


def test_the_example_of_audit(millstream: Commands, tmp_path: Path) -> None:
    (script,) = scripts("audit.md")
    job = millstream.submit("hello", {}, "--wait", "60")["id"]
    run_script(f"cd {tmp_path}\n{script}", tmp_path, millstream.environ | {"JOB": job})
    for folder in ("audit", "table"):
        found = list(read_export(tmp_path / folder))
        assert job in {record.job for record in found}
    with duckdb.connect() as duck:
        duck.execute(f"SELECT count(*) FROM '{tmp_path}/table/*.parquet'")
        assert duck.fetchone() == (len(found),)


def test_events_are_filtered(millstream: Commands) -> None:
    job = millstream.submit("hello", {}, "--queue", "sieve", "--delay", "86400")
    assert millstream("jobs", "cancel", job["id"], "--reason", "done").returncode == 0
    other = millstream.submit("hello", {}, "--queue", "sieve", "--wait", "60")

    def types(*args: str) -> list[str]:
        return [one["type"] for one in millstream.lines("events", "--queue", "sieve", *args)]

    assert types("--type", "job.cancelled", "--type", "job.started") == [
        "job.cancelled", "job.started",
    ]  # fmt: skip
    assert types("--type", "job.cancelled,job.started") == ["job.cancelled", "job.started"]
    millstream.submit("hello", {}, "--queue", "sieve-2", "--delay", "86400")
    both = millstream.lines("events", "--queue", "sieve,sieve-2")
    assert {one["position"].split(":")[0] for one in both} == {"sieve", "sieve-2"}
    assert types("--actor", "ada") == ["job.cancelled"]
    assert types("--limit", "2") == types()[:2]
    at = other["submitted_at"]
    assert types("--to", at) + types("--from", at) == types()
    assert types("--from", at)[-1] == "job.succeeded"
    done = millstream("events", "--type", "job.dreamt")
    assert (done.returncode, "--type: expected one of job.attempt_failed" in done.stderr) == (
        2,
        True,
    )
