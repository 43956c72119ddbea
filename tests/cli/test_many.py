"""Many requests that are one action: one command, one rate, the sum of what became of the jobs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.cli import many
from millstream.cli.many import act_on_all


class Answers:
    """An API that has so many jobs for each request; two seconds pass until it answers."""

    def __init__(self, *matched: int) -> None:
        self.matched = list(matched)
        self.bodies: list[dict[str, Any]] = []
        self.now = 100.0

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        assert path == "/jobs/actions"
        self.bodies.append(body)
        self.now += 2
        count = self.matched.pop(0)
        more = f"after-{len(self.bodies)}" if self.matched else None
        return msgspec.json.encode(
            {
                "matched": count, "changed": count - 1, "outcomes": {"scheduled": count - 1},
                "skipped": {"live": 1}, "next_cursor": more, "command": body.get("command"),
            }
        )  # fmt: skip


def act(api: Answers, monkeypatch: pytest.MonkeyPatch, **body: Any) -> many.Result:
    monkeypatch.setattr(many.time, "monotonic", lambda: api.now)
    return act_on_all(api, {"filter": {"type": "t"}, **body})  # pyright: ignore[reportArgumentType]


def test_each_request_goes_on_after_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers(100, 50, 7)
    found = act(api, monkeypatch, action="retry")
    assert [body.get("cursor") for body in api.bodies] == [None, "after-1", "after-2"]
    assert (found.matched, found.changed, found.next_cursor) == (157, 154, None)
    assert (found.outcomes, found.skipped) == ({"scheduled": 154}, {"live": 3})
    (command,) = {body["command"] for body in api.bodies}
    assert found.command == command
    assert all("delay" not in body for body in api.bodies)


def test_a_rate_holds_over_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers(100, 50, 7)
    act(api, monkeypatch, action="retry", rate=10.0, delay=5.0)
    # 100 jobs take until 5 + 10 s, of which 2 have passed; 150 until 20 s, of which 4 have.
    assert [body["delay"] for body in api.bodies] == [5.0, 13.0, 16.0]


def test_who_is_late_begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers(10, 5)
    act(api, monkeypatch, action="retry", rate=1000.0)
    assert api.bodies[1]["delay"] == 0.0


def test_other_actions_have_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers(1)
    assert act(api, monkeypatch, action="cancel").command is None
    assert "command" not in api.bodies[0]
