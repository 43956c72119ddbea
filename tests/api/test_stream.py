"""GET /events/stream: what comes, as it comes, and on after any event."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterator
from typing import Any

import msgspec
import pytest

from millstream.core.config import Settings

from .conftest import Api, problem, running

ADA = {"actor": "ada"}


class Feed:
    """A stream that is being read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def next(self) -> dict[str, Any]:
        """The next event: id, event and data."""
        found: dict[str, Any] = {}
        for line in self._lines:
            if not line and found:
                found["data"] = msgspec.json.decode(found["data"])
                return found
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                found[name] = value
        raise AssertionError("the stream ended")

    def end(self) -> list[str]:
        return list(self._lines)


@contextlib.contextmanager
def reading(api: Api, *, last: str | None = None, **query: Any) -> Generator[Feed]:
    headers = {} if last is None else {"last-event-id": last}
    path = "/api/v1/events/stream"
    with api.client.stream("GET", path, params=query, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": millstream"
        yield Feed(lines)


@pytest.mark.parametrize("queue", ["default", None])
def test_what_comes_is_told_as_it_comes(api: Api, queue: str | None) -> None:
    api.submit()
    with reading(api, **({"queue": queue} if queue else {})) as feed:
        ids = [api.submit() for _ in range(3)]
        events = [feed.next() for _ in ids]
    assert [one["data"]["job_id"] for one in events] == ids
    assert events[0]["event"] == events[0]["data"]["type"] == "job.submitted"
    with reading(api, last=events[0]["id"], **({"queue": queue} if queue else {})) as feed:
        again = [feed.next() for _ in range(2)]
    assert [one["data"] for one in again] == [one["data"] for one in events[1:]]


def test_a_page_and_then_the_stream(api: Api) -> None:
    first = api.submit()
    cursor = api.get("/events", queue="default")["cursor"]
    second = api.submit()
    with reading(api, queue="default", cursor=cursor) as feed:
        third = api.submit()
        assert [feed.next()["data"]["job_id"] for _ in range(2)] == [second, third]
    assert first not in (second, third)


def test_filters_and_new_queues(api: Api) -> None:
    api.submit()
    with reading(api, type="job.cancelled,queue.paused", actor="ada") as feed:
        id = api.submit(queue="fresh", payload={"text": "several\nlines"})
        api.client.post(f"/api/v1/jobs/{id}/cancel", json={"actor": "eve"}).raise_for_status()
        api.client.post("/api/v1/queues/fresh/pause", json=ADA).raise_for_status()
        assert feed.next()["data"]["position"] == "fresh:1:3"


def test_a_payload_of_several_lines_is_one_event(api: Api) -> None:
    body = b'{"type": "a.job", "payload": {"a":\n 1}}'
    with reading(api, cursor=api.get("/events")["cursor"]) as feed:
        headers = {"content-type": "application/json"}
        api.client.post("/api/v1/jobs", content=body, headers=headers).raise_for_status()
        assert feed.next()["data"]["body"]["payload"]["data"] == {"a": 1}


def test_a_server_that_shuts_down_ends_its_streams(settings: Settings) -> None:
    with running(settings) as api, reading(api) as feed:
        api.server.handle_exit(signal.SIGTERM, None)
        feed.end()


@pytest.mark.parametrize(
    ("query", "status"),
    [({"cursor": "nonsense"}, 400), ({"queue": "nowhere"}, 404), ({"type": "job.dreamt"}, 400),
     ({"limit": "5"}, 400)],
)  # fmt: skip
def test_streams_that_cannot_be(shared: Api, query: dict[str, str], status: int) -> None:
    problem(shared.client.get("/api/v1/events/stream", params=query), status)
