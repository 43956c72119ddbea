"""Jobs and events as commands show them: lines, tables, and what follows."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from millstream.core.ids import new_id
from tests.ports import deaf_port

from .commands import Commands, on_terminal


def test_jobs_are_json_lines_when_piped_and_filtered(millstream: Commands) -> None:
    failed = millstream("submit", "primes", "--payload", "99999999999", "--wait", "--tag", "listed")
    assert failed.returncode == 1
    ids = [
        millstream.submit("hello", {}, "--tag", "listed", "--wait", "60")["id"] for _ in range(3)
    ]
    found = millstream.lines("jobs", "--tag", "listed", "--type", "hello")
    assert [job["id"] for job in found] == ids[::-1]
    assert len(millstream.lines("jobs", "list", "--tag", "listed", "--limit", "2")) == 2
    (job,) = millstream.lines("jobs", "--tag", "listed", "--state", "failed,cancelled")
    assert job["id"] == json.loads(failed.stdout)["id"]
    assert millstream.lines("jobs", "--queue", "nobody-used-it") == []


def test_a_wrong_filter_or_id_is_refused(millstream: Commands) -> None:
    done = millstream("jobs", "--state", "asleep")
    assert done.returncode == 2
    assert "$.state (query): expected one of scheduled, queued" in done.stderr
    done = millstream("jobs", "show", new_id("default"))
    assert done.returncode == 2
    assert "404" in done.stderr


def test_a_terminal_gets_a_table_and_a_history(millstream: Commands) -> None:
    job = millstream.submit("hello", {"name": "[red]"}, "--tag", "shown", "--wait", "60")
    table = on_terminal(millstream, "jobs", "--tag", "shown")
    assert "submitted" in table
    assert job["id"] in table
    assert "1/5" in table
    page = on_terminal(millstream, "jobs", "show", job["id"])
    assert '"state": "succeeded"' in page
    assert "job.started" in page


def test_events_are_the_whole_log_by_position(millstream: Commands) -> None:
    millstream.submit("flaky", {"failures": 2}, "--queue", "told", "--wait", "60")
    events = millstream.lines("events", "--queue", "told")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert list(events[0]) == [
        "position", "seq", "epoch", "time", "type", "job_id", "version", "body"
    ]  # fmt: skip
    types = [event["type"] for event in events if event["job_id"]]
    assert types == [
        "job.submitted",
        *("job.started", "job.attempt_failed", "job.queued") * 2,
        "job.started",
        "job.succeeded",
    ]
    middle = len(events) // 2
    rest = millstream.lines("events", "--from-position", events[middle]["position"])
    assert rest == events[middle + 1 :]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--from-position", "nonsense"], "expected a position such as"),
        (["--from-position", "default:1:99999999"], "expected an event that exists"),
        (["--queue", "nobody-used-it"], "expected a queue that was used before"),
        (
            ["--from", "2027-01-02T00:00:00Z", "--to", "2027-01-01T00:00:00Z"],
            "--to: expected a time after --from",
        ),
        (["--job", "nonsense"], "--job: expected the id of a job"),
        (["--job", new_id("default")], "--job: there is no job"),
    ],
)
def test_events_that_cannot_be_are_refused(
    millstream: Commands, args: list[str], said: str
) -> None:
    millstream.submit("hello", {})
    done = millstream("events", *args)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_events_without_servers_is_exit_code_four(millstream: Commands) -> None:
    with deaf_port() as port:
        done = millstream("events", MILLSTREAM_REDIS_URL=f"redis://127.0.0.1:{port}/0")
    assert done.returncode == 4
    assert "Redis did not answer" in done.stderr
    assert "--data" in done.stderr


def test_events_follow_what_comes_even_of_new_queues(millstream: Commands) -> None:
    before = millstream.lines("events")
    with (
        subprocess.Popen(
            millstream.command("events", "--follow"),
            env=millstream.environ,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        ExitStack() as at_last,
    ):
        at_last.callback(process.kill)
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in before]
        wanted = {
            millstream.submit("hello", {}, "--queue", f"new-{time.time_ns()}")["id"],
            millstream.submit("hello", {})["id"],
        }
        done: set[str] = set()
        while not wanted <= done:
            event = json.loads(process.stdout.readline())
            told.append(event)
            if event["type"] == "job.succeeded":
                done.add(event["job_id"])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert all(event in told for event in before)
    positions = [event["position"] for event in told]
    assert len(set(positions)) == len(positions)
    for queue in {position.split(":")[0] for position in positions}:
        seqs = [event["seq"] for event in told if event["position"].startswith(f"{queue}:")]
        assert seqs == list(range(1, len(seqs) + 1))


def test_a_reader_that_goes_away_ends_the_command_quietly(millstream: Commands) -> None:
    shell = " ".join(millstream.command("events")) + " | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", shell], env=millstream.environ, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["seq"] == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
