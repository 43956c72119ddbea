"""What is kept, held and erased by command, as docs/retention.md and docs/erasure.md show it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.cli.rebuild import words
from millstream.projections.rebuild.kept import Trusted
from tests.ports import deaf_port

from .commands import Commands
from .conftest import Serving
from .pages import run_script, scripts


@pytest.fixture(scope="module")
def millstream(serving: Serving) -> Iterator[Commands]:
    with serving(unknown_types="accept", erasure_secret="07" * 32) as commands:
        yield commands


def test_retention_and_holds_as_their_page_shows_them(millstream: Commands, tmp_path: Path) -> None:
    age, holds = scripts("retention.md")
    dry, wet = map(json.loads, run_script(age, tmp_path, millstream.environ).splitlines())
    assert dry == wet | {"dry_run": True}
    assert set(dry) == {"dry_run", "jobs", "events", "minutes", "snapshots"}
    lines = [
        json.loads(line) for line in run_script(holds, tmp_path, millstream.environ).splitlines()
    ]
    placed, listed, released = lines
    assert placed == listed
    assert (placed["tag"], released) == ("customer-4711", {"name": "case-7"})


def test_retention_without_a_setting_says_so(millstream: Commands) -> None:
    done = millstream("retention")
    assert done.returncode == 2
    assert "expected MILLSTREAM_RETENTION" in done.stderr


def test_an_erasure_as_its_page_shows_it(millstream: Commands, tmp_path: Path) -> None:
    (script,) = scripts("erasure.md")
    printed = run_script(script, tmp_path, millstream.environ)
    submitted, erased = map(json.loads, printed.splitlines())
    assert len(erased["keys"]) == 1
    job = json.loads(millstream("jobs", "show", submitted["id"]).stdout)
    assert (job["erased"], job["payload"]) == (True, None)
    again = millstream("subjects", "erase", "customer-4711")
    assert again.returncode == 2
    assert "There is no key of this subject" in again.stderr


def test_the_secret_is_changed_by_a_command(millstream: Commands) -> None:
    job = millstream.submit("hello", {}, "--subject", "customer-9")["id"]
    without = millstream("subjects", "rotate-secret")
    assert without.returncode == 2
    assert "MILLSTREAM_ERASURE_OLD_SECRET" in without.stderr

    def rotate(secret: str, old: str) -> tuple[int, dict[str, int]]:
        given = {"MILLSTREAM_ERASURE_SECRET": secret, "MILLSTREAM_ERASURE_OLD_SECRET": old}
        done = millstream("subjects", "rotate-secret", **given)
        return done.returncode, json.loads(done.stdout)

    code, told = rotate("08" * 32, "09" * 32)
    assert code == 1
    assert told["unreadable"] == told["keys"] > 0
    assert rotate("07" * 32, "08" * 32) == (0, told | {"unreadable": 0, "rewrapped": 0})
    refused = millstream("subjects", "rotate-secret", MILLSTREAM_ERASURE_OLD_SECRET="abc")
    assert refused.returncode != 0
    assert "abc" not in refused.stderr
    shown = json.loads(millstream("jobs", "show", job).stdout)
    assert (shown["payload"], shown["erased"]) == ({}, False)


@pytest.mark.parametrize("command", ["verify", "rebuild", "restore", "proof-heads"])
def test_no_database_is_exit_code_four_everywhere(millstream: Commands, command: str) -> None:
    with deaf_port() as port:
        nowhere = f"postgresql://postgres@127.0.0.1:{port}/none"
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


def test_a_rebuild_tells_in_words_what_it_took_over() -> None:
    both = words(Trusted("emails", "2027-01-31T08:01:00.000Z", 912, 2))
    assert both == (
        "not made of events, emails: statistics of before 2027-01-31T08:01:00.000Z (912 rows by"
        " minute, and their part of the sums of all time) are those of the old tables, since their"
        " events are gone; 2 ended jobs without a row there were taken for dropped"
    )
    assert "statistics" not in words(Trusted("emails", None, 0, 2))


def test_a_schedule_about_a_person(millstream: Commands) -> None:
    def schedules(*args: str) -> dict[str, object]:
        done = millstream("schedules", *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    about = ("--payload", '{"name": "ada@example.org"}', "--subject", "customer-4712")
    made = schedules("create", "hers", "hello", "--every", "86400", *about)
    assert (made["payload"], made["erased"]) == ({"name": "ada@example.org"}, False)
    assert millstream("subjects", "erase", "customer-4712", "--reason", "asked").returncode == 0
    assert schedules("show", "hers")["erased"] is True
    refused = millstream("schedules", "fire", "hers")
    assert refused.returncode != 0
    assert "was erased" in refused.stderr
    assert schedules("change", "hers", *about)["payload"] == {"name": "ada@example.org"}
