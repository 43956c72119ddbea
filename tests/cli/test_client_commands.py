"""Submissions by command, and what its exit code says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from millstream.core.ids import new_id
from tests.ports import deaf_port

from .commands import Commands


def test_submit_prints_the_answer_of_the_api(millstream: Commands) -> None:
    accepted = millstream.submit("hello", {"name": "Ada"})
    assert accepted["queue"] == "default"
    assert accepted["state"] == "queued"
    assert accepted["deduplicated"] is False
    assert accepted["position"].startswith("default:1:")


def test_submit_and_wait_prints_the_finished_job(millstream: Commands) -> None:
    job = millstream.submit("hello", {"name": "Ada"}, "--wait", "60", "--tag", "a", "--tag", "b")
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
    first, again = (millstream.submit("hello", {}, "--idempotency-key", "k-1") for _ in range(2))
    assert (first["deduplicated"], again["deduplicated"]) == (False, True)
    assert again["id"] == first["id"]
    other = millstream("submit", "primes", "--payload", "2", "--idempotency-key", "k-1")
    assert other.returncode == 2
    assert "another body" in other.stderr
    strange = millstream("submit", "hello", "--idempotency-key", "schlüssel")
    assert strange.returncode == 2
    assert "ASCII" in strange.stderr


def test_a_level_of_acknowledgement_is_asked_for(millstream: Commands) -> None:
    for level in ("memory", "fsync", "archived"):
        assert millstream.submit("hello", {"name": level}, "--ack", level)["state"] == "queued"
    done = millstream("submit", "hello", "--payload", "{}", "--ack", "replicated")
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
    done = millstream("submit", "primes", "--payload", "99999999999", "--wait", "60")
    assert done.returncode == 1
    job = json.loads(done.stdout)
    assert job["state"] == "failed"
    assert "expected a number up to 10,000,000" in job["error"]["message"]


def test_a_job_that_takes_too_long_is_exit_code_three(millstream: Commands) -> None:
    done = millstream("submit", "hello", "--payload", "{}", "--delay", "3600", "--wait", "0.5")
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
        (["hello", "--payload", '{"after": "soon"}'], "$.payload.after: Expected `float`"),
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
    with deaf_port() as port:
        url = f"http://127.0.0.1:{port}"
        done = millstream(*args, "--url", url)
    assert done.returncode == 4
    assert f"{url} cannot be reached" in done.stderr


def test_a_batch_that_breaks_off_names_the_flow_it_leaves_open(
    millstream: Commands, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"type": "hello", "payload": {}}\n{"type": 5}\n')
    done = millstream("flows", "batch", str(jobs), "--then", '{"type": "primes", "payload": 2}')
    assert done.returncode == 2
    assert "$.jobs[1].type" in done.stderr
    found = re.search("`millstream (flows cancel [-0-9a-f]{36})`", done.stderr)
    assert found is not None, done.stderr
    assert millstream.lines(*found.group(1).split()) == [{"cancelled": 1, "requested": 0}]
