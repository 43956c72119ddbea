"""submit, jobs and events as a user runs them: real commands against real roles and servers."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.embedded.ports import free_port
from millstream.core.ids import new_id

from .roles import running

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers.py"


class Commands:
    """Runs `millstream …` with the settings of the roles."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
        self.environ = environ | config.as_environ(settings) | {"MILLSTREAM_URL": self.url}

    def __call__(self, *args: str, stdin: str = "", **environ: str) -> Done:
        return subprocess.run(
            self.command(*args),
            env=self.environ | environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "millstream.cli", *args]

    def submit(self, type_: str, payload: object = None, *args: str) -> dict[str, Any]:
        done = self("submit", type_, "--payload", json.dumps(payload), *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def lines(self, *args: str) -> list[dict[str, Any]]:
        done = self(*args)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def millstream(
    valkey_server: Valkey,
    postgres_server: Postgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Commands]:
    valkey_server.start()
    postgres_server.start()
    postgres_server.execute(f"CREATE DATABASE commands TEMPLATE {migrated_template}")
    settings = config.override(
        Settings(),
        {
            "redis_url": valkey_server.url,
            "postgres_dsn": postgres_server.dsn_of("commands"),
            "namespace": "commands",
            "port": free_port(),
            "sweep": 0.2,
        },
    )
    with running(settings, tmp_path_factory.mktemp("roles"), str(HANDLERS)):
        yield Commands(settings)
    postgres_server.execute("DROP DATABASE commands WITH (FORCE)")


def test_submit_prints_the_answer_of_the_api(millstream: Commands) -> None:
    accepted = millstream.submit("hello", {"name": "Ada"})
    assert accepted["queue"] == "default"
    assert accepted["state"] == "queued"
    assert accepted["deduplicated"] is False
    assert accepted["position"].startswith("default:1:")


def test_submit_and_wait_prints_the_finished_job(millstream: Commands) -> None:
    job = millstream.submit("hello", {"name": "Ada"}, "--wait", "20", "--tag", "a", "--tag", "b")
    assert job["state"] == "succeeded"
    assert job["result"] == {"message": "Hello, Ada!"}
    assert job["tags"] == ["a", "b"]


def test_every_option_reaches_the_job(millstream: Commands) -> None:
    accepted = millstream.submit(
        "hello", {}, "--queue", "later", "--priority", "2", "--delay", "3600",
        "--max-attempts", "7", "--timeout", "9", "--metadata", "a=1=2",
        "--expires-at", "2099-01-01T00:00:00Z",
    )  # fmt: skip
    assert accepted["state"] == "scheduled"
    job = json.loads(millstream("jobs", "show", accepted["id"]).stdout)
    assert (job["queue"], job["priority"], job["max_attempts"]) == ("later", 2, 7)
    assert job["metadata"] == {"a": "1=2"}
    (event,) = millstream.lines("events", "--job", job["id"])
    assert event["body"]["timeout_ms"] == 9000
    assert event["body"]["delay_ms"] == 3_600_000


def test_a_unique_job_is_submitted_once(millstream: Commands) -> None:
    how = ("--unique-key", "k", "--delay", "3600", "--queue", "unique")
    keys = ("--concurrency-key", "tenant-7", "--rate-key", "smtp")
    first = millstream.submit("hello", {"n": 1}, *how, *keys)
    kept = millstream.submit("hello", {"n": 2}, *how)
    assert (kept["id"], kept["deduplicated"]) == (first["id"], True)
    replaced = millstream.submit("hello", {"n": 3}, *how, "--replace", "--unique-scope", "waiting")
    assert replaced["id"] == first["id"]
    submitted, changed = millstream.lines("events", "--job", first["id"])
    assert submitted["body"]["concurrency_key"] == "tenant-7"
    assert submitted["body"]["rate_key"] == "smtp"
    assert (changed["type"], changed["body"]["payload"]["data"]) == ("job.replaced", {"n": 3})
    payload = {"for": "a time"}
    first = millstream.submit("hello", payload, "--unique-period", "60", "--wait")
    assert millstream.submit("hello", payload, "--unique")["id"] != first["id"]


def test_a_request_may_be_sent_again(millstream: Commands) -> None:
    first, again = (millstream.submit("hello", 1, "--idempotency-key", "k-1") for _ in range(2))
    assert (first["deduplicated"], again["deduplicated"]) == (False, True)
    assert again["id"] == first["id"]
    other = millstream("submit", "hello", "--payload", "2", "--idempotency-key", "k-1")
    assert other.returncode == 2
    assert "another body" in other.stderr
    strange = millstream("submit", "hello", "--idempotency-key", "schlüssel")
    assert strange.returncode == 2
    assert "ASCII" in strange.stderr


def test_a_level_of_acknowledgement_is_asked_for(millstream: Commands) -> None:
    for level in ("memory", "fsync", "archived"):
        assert millstream.submit("hello", level, "--ack", level)["state"] == "queued"
    done = millstream("submit", "hello", "--ack", "replicated")
    assert done.returncode == 4
    assert "$.ack: expected 1 replicas online, got 0" in done.stderr


def test_what_cannot_be_unique_is_said(millstream: Commands) -> None:
    given = ("--unique-scope", "waiting", "--unique-period", "5")
    done = millstream("submit", "hello", *given)
    assert done.returncode == 2
    assert "$.unique.period" in done.stderr


def test_the_payload_comes_from_a_file_or_stdin_as_it_is(
    millstream: Commands, tmp_path: Path
) -> None:
    text = '{\n  "name": "B\\u0000b",\n  "after": 0.10000000000000000001\n}'
    (tmp_path / "payload.json").write_text(text)
    for given in (f"@{tmp_path / 'payload.json'}", "-"):
        done = millstream("submit", "hello", "--payload", given, "--wait", stdin=text)
        assert done.returncode == 0, done.stderr
        job = json.loads(done.stdout)
        assert "0.10000000000000000001" in millstream("jobs", "show", job["id"]).stdout
        events = millstream("events", "--job", job["id"]).stdout.splitlines()
        assert [json.loads(line)["type"] for line in events] == [
            "job.submitted",
            "job.started",
            "job.succeeded",
        ]
        assert "0.10000000000000000001" in events[0]


def test_a_job_that_fails_is_exit_code_one(millstream: Commands) -> None:
    done = millstream("submit", "primes", "--payload", "99999999999", "--wait", "20")
    assert done.returncode == 1
    job = json.loads(done.stdout)
    assert job["state"] == "failed"
    assert "expected a number up to 10,000,000" in job["error"]["message"]


def test_a_job_that_takes_too_long_is_exit_code_three(millstream: Commands) -> None:
    done = millstream("submit", "hello", "--delay", "3600", "--wait", "0.5")
    assert done.returncode == 3
    assert json.loads(done.stdout)["state"] == "scheduled"
    assert "the job is scheduled after 0.5 s" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["hello", "--payload", "{nope"], "--payload: expected JSON, got '{nope'"),
        (["hello", "--payload", "@/absent.json"], "expected a readable file, got /absent.json"),
        (["hello", "--payload", '{"a": 1, "a": 2}'], "$.payload.a"),
        (["hello", "--priority", "11"], "$.priority"),
        (["hello", "--queue", "No Such"], "$.queue"),
        (["hello", "--run-at", "yesterday"], "$.run_at"),
        (["hello", "--delay", "1", "--run-at", "2027-01-01T00:00:00Z"], "either run_at or delay"),
        (["hello", "--metadata", "nothing"], "--metadata: expected KEY=VALUE, got 'nothing'"),
        (["no.such.type"], "No worker knows this job type"),
        (["hello", "--url", "nonsense"], "--url: expected an address such as"),
    ],
)
def test_refused_input_is_exit_code_two_with_the_path(
    millstream: Commands, args: list[str], said: str
) -> None:
    done = millstream("submit", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("args", [["submit", "hello"], ["jobs"], ["jobs", "show", new_id("q")]])
def test_an_api_out_of_reach_is_exit_code_four(millstream: Commands, args: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = millstream(*args, "--url", url)
    assert done.returncode == 4
    assert f"{url} cannot be reached" in done.stderr


def test_jobs_are_json_lines_when_piped_and_filtered(millstream: Commands) -> None:
    failed = millstream("submit", "primes", "--payload", '"x"', "--wait", "--tag", "listed")
    assert failed.returncode == 1
    ids = [
        millstream.submit("hello", {}, "--tag", "listed", "--wait", "20")["id"] for _ in range(3)
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
    job = millstream.submit("hello", {"name": "[red]"}, "--tag", "shown", "--wait", "20")
    table = on_terminal(millstream, "jobs", "--tag", "shown")
    assert "submitted" in table
    assert job["id"] in table
    assert "1/5" in table
    page = on_terminal(millstream, "jobs", "show", job["id"])
    assert '"state": "succeeded"' in page
    assert "job.started" in page


def on_terminal(millstream: Commands, *args: str) -> str:
    """What the command prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    environ = millstream.environ | {"COLUMNS": "180", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        millstream.command(*args), env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            pass  # so Linux tells the end of a terminal
        os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_events_are_the_whole_log_by_position(millstream: Commands) -> None:
    millstream.submit("flaky", {"failures": 2}, "--queue", "told", "--wait", "20")
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
    millstream.submit("hello")
    done = millstream("events", *args)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_events_without_servers_is_exit_code_four(millstream: Commands) -> None:
    done = millstream("events", MILLSTREAM_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert done.returncode == 4
    assert "Redis did not answer" in done.stderr
    assert "--data" in done.stderr


@pytest.mark.parametrize("command", ["verify", "rebuild", "restore", "proof-heads"])
def test_no_database_is_exit_code_four_everywhere(millstream: Commands, command: str) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/none"
    done = millstream(command, MILLSTREAM_POSTGRES_DSN=nowhere)
    assert done.returncode == 4, done.stderr
    assert "PostgreSQL cannot do this now" in done.stderr
    assert "--data" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--accept", "--abandon"], "expected one of --accept, --abandon and --drop-old"),
        (["--projection", "nobody-made-it"], "--projection: expected one of those in --app (none"),
    ],
)
def test_a_rebuild_that_is_refused_is_not_one_that_differs(
    millstream: Commands, args: list[str], said: str
) -> None:
    done = millstream("rebuild", *args)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_report_that_cannot_be_written_is_told_before_anything_is_restored(
    millstream: Commands, tmp_path: Path
) -> None:
    report = tmp_path / "nowhere" / "report.json"
    done = millstream("restore", "--report", str(report))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"millstream: {report}: No such file or directory\n"


def test_a_batch_that_breaks_off_names_the_flow_it_leaves_open(
    millstream: Commands, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"type": "hello"}\n{"type": 5}\n')
    done = millstream("flows", "batch", str(jobs), "--then", '{"type": "hello"}')
    assert done.returncode == 2
    assert "$.jobs[1].type" in done.stderr
    found = re.search("`millstream (flows cancel [-0-9a-f]{36})`", done.stderr)
    assert found is not None, done.stderr
    assert millstream.lines(*found.group(1).split()) == [{"cancelled": 1, "requested": 0}]


def test_events_follow_what_comes_even_of_new_queues(millstream: Commands) -> None:
    before = millstream.lines("events")
    with subprocess.Popen(
        millstream.command("events", "--follow"),
        env=millstream.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in before]
        assert told == before
        wanted = {
            millstream.submit("hello", {}, "--queue", f"new-{time.time_ns()}")["id"],
            millstream.submit("hello", {})["id"],
        }
        done: set[str] = set()
        while done < wanted:
            event = json.loads(process.stdout.readline())
            told.append(event)
            if event["type"] == "job.succeeded":
                done.add(event["job_id"])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
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
