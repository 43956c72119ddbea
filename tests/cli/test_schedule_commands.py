"""`millstream schedules` as a user runs it, against real roles and servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import until

from .commands import Commands, on_terminal

NOBODY = ("--payload", "{}")
"""Who is greeted."""


def schedules(millstream: Commands, *args: str) -> Any:
    done = millstream("schedules", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_schedule_from_its_making_to_its_end(millstream: Commands) -> None:
    by = ("--actor", "ada", "--reason", "a test")
    made = schedules(
        millstream, "create", "nightly", "hello", "--cron", "0 3 * * *", "--timezone",
        "Europe/Vienna", "--payload", '{"name": "Ada"}', "--overlap", "skip", "--tag", "a",
        "--metadata", "k=v", "--jitter", "60", "--catchup", "0", "--catchup-limit", "3",
        "--priority", "2", "--timeout", "9", "--expires-in", "99", "--queue", "plans",
        "--end-at", "2199-01-01T00:00:00Z", *by,
    )  # fmt: skip
    assert (made["cron"], made["timezone"]) == ("0 3 * * *", "Europe/Vienna")
    assert made["overlap"] == "skip"
    assert (made["jitter"], made["catchup"], made["catchup_limit"]) == (60, 0, 3)
    assert (made["tags"], made["metadata"], made["queue"]) == (["a"], {"k": "v"}, "plans")
    assert (made["expires_in"], made["timeout"], made["priority"]) == (99, 9, 2)
    assert schedules(millstream, "show", "nightly")["next_at"] == made["next_at"]
    found = schedules(millstream, "change", "nightly", "--every", "3600", *by)
    assert (found["cron"], found["every"], found["jitter"]) == (None, 3600, 60)
    assert schedules(millstream, "pause", "nightly", *by)["paused"]["reason"] == "a test"
    assert schedules(millstream, "resume", "nightly", *by)["state"] == "active"
    fired = schedules(millstream, "fire", "nightly", "--id", "one", *by)
    assert schedules(millstream, "fire", "nightly", "--id", "one", *by) == fired
    assert schedules(millstream, "delete", "nightly", *by)["name"] == "nightly"
    events = millstream.lines("events", "--queue", "plans")
    told = [one for one in events if one["type"].startswith("schedule.")]
    assert [one["type"].removeprefix("schedule.") for one in told] == [
        "created", "updated", "paused", "resumed", "fired", "deleted",
    ]  # fmt: skip
    assert {(one["body"]["actor"], one["body"]["reason"]) for one in told} == {("ada", "a test")}


def test_the_next_times_one_a_line(millstream: Commands) -> None:
    schedules(millstream, "create", "yearly", "hello", "--cron", "@yearly",
              "--start-at", "2100-06-01T00:00:00Z", *NOBODY)  # fmt: skip
    done = millstream("schedules", "next", "yearly", "--count", "2")
    assert done.stdout == "2101-01-01T00:00:00.000Z\n2102-01-01T00:00:00.000Z\n"


def test_a_range_is_filled(millstream: Commands) -> None:
    schedules(millstream, "create", "filled", "hello", "--cron", "@daily", *NOBODY)
    done = schedules(millstream, "backfill", "filled", "--from", "2026-01-01T00:00:00Z",
                     "--to", "2026-01-04T00:00:00Z")  # fmt: skip
    assert len(done["jobs"]) == 3


def test_its_history_is_told_newest_first(millstream: Commands) -> None:
    schedules(millstream, "create", "told", "hello", "--every", "3600", *NOBODY)
    schedules(millstream, "fire", "told", "--reason", "now")

    def found() -> list[dict[str, Any]]:
        done = millstream("schedules", "history", "told")
        return [json.loads(line) for line in done.stdout.splitlines()]

    events = until(lambda: (told := found())[1:] and told)
    assert [one["type"] for one in events] == ["schedule.fired", "schedule.created"]
    assert events[0]["body"]["reason"] == "now"


def test_lists_are_json_lines_when_piped_and_a_table_on_a_terminal(millstream: Commands) -> None:
    schedules(millstream, "create", "listed", "hello", "--every", "90", "--queue", "lists", *NOBODY)
    schedules(millstream, "create", "other", "hello", "--cron", "@daily", "--queue", "lists",
              "--timezone", "Asia/Tokyo", *NOBODY)  # fmt: skip
    found = millstream.lines("schedules", "--queue", "lists")
    assert [one["name"] for one in found] == ["listed", "other"]
    table = on_terminal(millstream, "schedules", "list", "--queue", "lists")
    for part in ("listed", "every 90 s", "@daily Asia/Tokyo", "active"):
        assert part in table


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "x", "hello"], "$.cron: expected either cron or every, got neither"),
        (["create", "x", "hello", "--cron", "61 * * * *"], "$.cron: expected a cron expression"),
        (["create", "x", "hello", "--every", "0.1"], "$.every"),
        (["create", "x", "hello", "--every", "9", "--timezone", "Mars"], "$.timezone"),
        (["create", "x", "no.such.type", "--every", "9"], "No worker knows this job type"),
        (["create", "x", "hello", "--every", "9", "--payload", "{"], "--payload: expected JSON"),
        (["create", "x", "hello", "--every", "9", "--start-at", "noon"], "$.start_at"),
        (["show", "absent"], "There is no schedule 'absent'"),
        (["next", "absent"], "There is no schedule 'absent'"),
        (["fire", "a/b"], "404"),
        (["pause", "absent"], "404"),
    ],
)
def test_what_is_refused_is_exit_code_two_with_the_path(
    millstream: Commands, args: list[str], said: str
) -> None:
    done = millstream("schedules", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
