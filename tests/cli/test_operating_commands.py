"""Commands of operators as they run them, and the example of docs/operating.md."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from millstream.api.actions import Action, ActionResult
from millstream.core.ids import new_id
from tests.ports import deaf_port

from .commands import Commands, on_terminal
from .conftest import Serving
from .pages import DOCS, run_script, scripts

PAGE = (DOCS / "operating.md").read_text()


@pytest.fixture(scope="module")
def millstream(serving: Serving) -> Iterator[Commands]:
    with deaf_port() as smtp, serving(smtp_port=smtp) as commands:  # mail is refused
        commands.environ["USER"] = "ada"
        yield commands


def said(millstream: Commands, *args: str) -> Any:
    """What a command answers, as JSON."""
    done = millstream(*args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)
    return found


def test_a_queue_is_paused_shown_and_resumed(millstream: Commands) -> None:
    millstream.submit("hello", {}, "--queue", "one", "--wait", "60")
    assert said(millstream, "queues", "pause", "one", "--reason", "lunch")["changed"]
    job = millstream.submit("hello", {}, "--queue", "one")["id"]
    assert said(millstream, "queues", "show", "one")["mode"] == "paused"

    def listed() -> Any:
        (found,) = [q for q in millstream.lines("queues") if q["name"] == "one"]
        return found if found["by_state"]["queued"] else None

    assert until(listed)["mode"] == "paused"  # it is counted by the projector
    table = on_terminal(millstream, "queues")
    assert re.search(r"one +paused +0 +1 ", table), table
    assert said(millstream, "queues", "resume", "one", "--actor", "eve")["mode"] == "open"
    events = millstream.lines("events", "--queue", "one")
    by = [event["body"] for event in events if event["type"].startswith("queue.")]
    assert by == [{"actor": "ada", "reason": "lunch"}, {"actor": "eve"}]
    shown = until(lambda: (j := said(millstream, "jobs", "show", job))["finished_at"] and j)
    assert shown["state"] == "succeeded"


def test_a_draining_queue_takes_no_job(millstream: Commands) -> None:
    millstream.submit("hello", {}, "--queue", "two", "--wait", "60")
    assert said(millstream, "queues", "drain", "two")["mode"] == "draining"
    done = millstream("submit", "hello", "--payload", "{}", "--queue", "two")
    assert done.returncode == 2
    assert "Queue two takes no jobs until it is resumed" in done.stderr


def test_purge_counts_first_if_it_is_told(millstream: Commands) -> None:
    for _ in range(3):
        millstream.submit("hello", {}, "--queue", "three", "--delay", "3600")
    assert said(millstream, "queues", "purge", "three", "--dry-run")["matched"] == 3
    none = said(millstream, "queues", "purge", "three", "--state", "queued")
    assert none["cancelled"] == 0
    assert said(millstream, "queues", "purge", "three", "--reason", "old")["cancelled"] == 3


def test_waiting_jobs_by_id(millstream: Commands) -> None:
    one, two = (
        millstream.submit("hello", {}, "--queue", "four", "--delay", "3600")["id"] for _ in range(2)
    )
    moved = millstream.lines("jobs", "reschedule", one, two, "--delay", "7200")
    assert [line["outcome"] for line in moved] == ["rescheduled"] * 2
    assert said(millstream, "jobs", "run", one)["outcome"] == "queued"
    assert said(millstream, "jobs", "cancel", two, "--reason", "no")["state"] == "cancelled"
    until(lambda: said(millstream, "jobs", "show", one)["state"] == "succeeded")
    until(lambda: said(millstream, "jobs", "show", two)["state"] == "cancelled")
    assert said(millstream, "jobs", "retry", two)["outcome"] == "queued"
    until(lambda: said(millstream, "jobs", "show", two)["state"] == "succeeded")


def test_many_jobs_by_filter(millstream: Commands) -> None:
    for _ in range(3):
        millstream.submit("hello", {}, "--tag", "many", "--delay", "3600")
    filters = ("--tag", "many", "--state", "scheduled,queued")
    dry = said(millstream, "jobs", "cancel", *filters, "--dry-run")
    assert (dry["matched"], dry["changed"]) == (3, 0)
    done = said(millstream, "jobs", "cancel", *filters, "--reason", "a loop")
    assert done == {
        "matched": 3, "changed": 3, "outcomes": {"cancelled": 3}, "skipped": {},
        "next_cursor": None, "command": None,
    }  # fmt: skip
    again = until(
        lambda: (
            (r := said(millstream, "jobs", "retry", "--tag", "many", "--state", "cancelled"))[
                "matched"
            ]
            and r
        )
    )
    assert again["changed"] == 3


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["jobs", "cancel"], "expected ids of jobs, or filters"),
        (["jobs", "cancel", new_id("x"), "--tag", "a"], "expected ids of jobs, or filters"),
        (["jobs", "retry", new_id("x"), "--dry-run"], "--dry-run is for filters"),
        (["jobs", "retry", new_id("x"), "--canary", "1"], "--canary, --rate and --delay are for"),
        (["jobs", "retry", "--tag", "a", "--canary", "0"], "$.canary"),
        (["jobs", "retry", "--tag", "a", "--rate", "0"], "$.rate"),
        (["dead", "redrive"], "expected a fingerprint, filters, or --all"),
        (["dead", "purge", "--all", "--tag", "a"], "expected a fingerprint, filters, or --all"),
        (["dead", "purge", "xyz"], "$.filter.fingerprint"),
        (["dead", "show", "xyz"], "$.fingerprint"),
        (["dead", "show", "0" * 16], "there are no dead letters of the fingerprint"),
        (["jobs", "reschedule", "--tag", "a"], "expected either --delay or --run-at"),
        (["jobs", "reschedule", "--tag", "a", "--delay", "1", "--run-at", "x"], "either --delay"),
        (["jobs", "reschedule", "--tag", "a", "--delay", "-1"], "$.delay"),
        (["jobs", "cancel", "--state", "failed"], "$.filter.state[0]"),
        (["jobs", "run", new_id("default")], "404"),
        (["jobs", "run"], "Missing argument"),
        (["queues", "pause", "ghost"], "There is no queue 'ghost'"),
        (["queues", "show", "ghost"], "There is no queue 'ghost'"),
        (["queues", "purge", "ghost", "--state", "running"], "Invalid value"),
        (["queues", "limit", "emails"], "at least one limit"),
        (["queues", "limit", "emails", "--concurrency", "0"], "expected a whole number"),
        (["queues", "limit", "emails", "--rate", "fast"], "expected such as 100/60s"),
        (["queues", "limit", "emails", "--rate", "0/s"], "$.rate.limit"),
    ],
)
def test_refused_input_is_exit_code_two(millstream: Commands, args: list[str], text: str) -> None:
    done = millstream(*args)
    assert done.returncode == 2, done.stdout
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_of_the_page_runs(millstream: Commands, tmp_path: Path) -> None:
    mail = json.dumps({"to": ["ada@example.org"], "subject": "hello", "text": "hello"})
    refused = millstream(
        "submit", "email.send", "--payload", mail, "--queue", "emails", "--max-attempts", "1",
        "--wait", "60",
    )  # fmt: skip
    assert json.loads(refused.stdout)["state"] == "failed", refused.stderr
    later = ("--queue", "emails", "--delay", "3600")
    job = millstream.submit("hello", {}, *later)["id"]
    millstream.submit("hello", {}, *later)
    millstream.submit("hello", {}, *later, "--tag", "newsletter")
    (script,) = scripts("operating.md")
    printed = run_script(script, tmp_path, millstream.environ | {"JOB": job})
    answers = [json.loads(line) for line in printed.splitlines()]
    many = [answer for answer in answers if "matched" in answer]
    assert [answer["matched"] for answer in many] == [1, 1, 2, 1, 1, 1]
    assert (answers[-1]["name"], answers[-1]["mode"]) == ("emails", "draining")
    names = [event["type"] for event in millstream.lines("events", "--queue", "emails")]
    assert [name for name in names if name.startswith("queue.")] == [
        "queue.paused", "queue.resumed", "queue.draining", "queue.purged",
    ]  # fmt: skip
    assert "job.rescheduled" in names


def test_dead_letters_as_their_page_shows_them(millstream: Commands, tmp_path: Path) -> None:
    mail = json.dumps({"to": ["ada@example.org"], "subject": "hello", "text": "hello"})
    how = ("--payload", mail, "--queue", "invoices", "--max-attempts", "1", "--wait", "60")
    jobs = [json.loads(millstream("submit", "email.send", *how).stdout)["id"] for _ in range(3)]
    (group,) = until(lambda: millstream.lines("dead", "--queue", "invoices"))
    assert (group["count"], group["reason"], group["sample"]) == (3, "exhausted", jobs[-1])
    (script,) = scripts("dead-letters.md")
    environ = millstream.environ | {"FINGERPRINT": group["fingerprint"], "JOB": jobs[0]}
    lines = [json.loads(line) for line in run_script(script, tmp_path, environ).splitlines()]
    assert lines[0] == group
    assert lines[1]["groups"] == [group]
    assert lines[1]["job"]["error"]["traceback"]
    assert (lines[2]["number"], lines[2]["outcome"]) == (1, "failed")
    many = [line for line in lines if "matched" in line]
    assert (many[0]["matched"], many[0]["changed"]) == (3, 0)
    assert (many[1]["matched"], many[1]["changed"]) == (1, 1)
    assert many[2]["changed"] >= 2
    assert many[3]["changed"] == 0
    again = many[1]["changed"] + many[2]["changed"]

    def ended_again() -> Any:
        events = millstream.lines("events", "--queue", "invoices")
        return [one["type"] for one in events].count("job.failed") == 3 + again and events

    events = until(ended_again)
    seen = {"after": events[-1]["position"]}  # by the tables: no job of the queue lives any more
    until(lambda: httpx2.get(f"{millstream.url}/api/v1/jobs/{jobs[0]}", params=seen).is_success)
    redriven = [event["body"] for event in events if event["type"] == "job.redriven"]
    assert redriven[0]["reason"] == "is the mail server back?"
    assert {body["command"] for body in redriven} == {many[1]["command"], many[2]["command"]}
    assert len(millstream.lines("jobs", "--command", many[2]["command"])) == many[2]["changed"]
    table = on_terminal(millstream, "dead", "list", "--queue", "invoices")
    assert re.search(rf"3 +{group['fingerprint']}", table), table
    assert "crash" not in on_terminal(millstream, "jobs", "attempts", jobs[0])
    assert said(millstream, "dead", "purge", "--queue", "invoices", "--dry-run")["matched"] == 3
    (alone,) = millstream.lines("jobs", "discard", jobs[0], "--reason", "known")
    assert alone["outcome"] == "discarded"
    until(lambda: millstream.lines("dead", "--queue", "invoices")[0]["count"] == 2)
    purged = said(millstream, "dead", "purge", group["fingerprint"], "--queue", "invoices")
    assert purged["outcomes"] == {"discarded": 2}
    until(lambda: not millstream.lines("dead", "--queue", "invoices"))
    let_go = millstream.lines("jobs", "--queue", "invoices", "--discarded")
    assert {job["id"] for job in let_go} == set(jobs)


def test_workers_and_job_types(millstream: Commands) -> None:
    (worker,) = until(lambda: millstream.lines("workers"))
    assert (worker["state"], worker["host"]) == ("serving", socket.gethostname())
    assert "hello" in worker["types"]
    table = on_terminal(millstream, "workers")
    assert re.search(rf"{worker['name']} +serving ", table), table
    types = {one["type"]: one for one in millstream.lines("job-types")}
    assert (types["hello"]["queue"], types["hello"]["workers"]) == ("default", 1)


def test_limits_as_their_page_shows_them(millstream: Commands, tmp_path: Path) -> None:
    by_shell, by_curl = scripts("limits.md")
    printed = run_script(by_shell, tmp_path, millstream.environ)
    answers = [json.loads(line) for line in printed.splitlines()]
    per_second = {"types": {"email.send": {"rate": {"limit": 100, "per": 60.0}}}}
    assert answers[0]["limits"] == per_second
    assert answers[-1]["limits"] == {"concurrency": 50, "concurrency_per_key": 1}
    changed = json.loads(run_script(by_curl, tmp_path, millstream.environ))
    assert changed["limits"] == {**per_second, "concurrency": 50, "concurrency_per_key": 1}


def test_aging_as_the_page_on_order_shows_it(millstream: Commands, tmp_path: Path) -> None:
    (script,) = [one for one in scripts("order.md") if one.startswith("millstream ")]
    assert json.loads(run_script(script, tmp_path, millstream.environ))["limits"]["aging"] == 60


def test_a_limit_by_the_command_line(millstream: Commands) -> None:
    said(millstream, "queues", "limit", "five", "--rate", "10/s:5", "--aging", "60")
    shown = said(millstream, "queues", "limit", "five", "--rate-per-key", "1/2.5s", "--aging", "0")
    assert shown["limits"] == {
        "rate": {"limit": 10, "per": 1.0, "burst": 5},
        "rate_per_key": {"limit": 1, "per": 2.5},
    }
    assert said(millstream, "queues", "limit", "five", "--rate", "none")["limits"] == {
        "rate_per_key": {"limit": 1, "per": 2.5}
    }


def test_the_page_tells_what_an_action_answers() -> None:
    (body,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (answer,) = re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)
    assert msgspec.json.decode(body, type=Action).dry_run
    assert msgspec.json.decode(answer, type=ActionResult).matched == 112
