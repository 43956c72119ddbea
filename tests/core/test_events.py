"""Events as they are written: what was released once can be read for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.errors import UnknownEvent, UnreadableEvent
from millstream.core.upcast import decode
from tests.strategies import Pair, histories, job_id, names, record_of

from .samples import SAMPLES

GOLDEN = Path(__file__).parent / "golden"


def record(name: str, body: bytes) -> ev.Record:
    return ev.Record("default", 3, 1, name, job_id(1), 2, body, 5, "5-0")


def test_there_is_a_golden_file_of_every_sample_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(SAMPLES)
    kinds = {(event.name, event.schema) for event in SAMPLES.values()}
    assert kinds >= {(name, kind.schema) for name, kind in ev.KINDS.items()}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_was_released_is_read(name: str) -> None:
    event = SAMPLES[name]
    assert decode(record(event.name, (GOLDEN / f"{name}.json").read_bytes())) == event


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_is_written_today_is_what_was_released(name: str) -> None:
    assert ev.body_of(SAMPLES[name]) == (GOLDEN / f"{name}.json").read_bytes()


def test_bodies_that_lua_writes_are_read() -> None:
    written = {
        "job.started": (b'{"attempt":2,"worker":"w1"}', ev.JobStarted(2, "w1")),
        "job.queued": (b'{"cause":"retry"}', ev.JobQueued("retry")),
        "job.lease_expired": (b'{"worker":"w1","crashes":1}', ev.JobLeaseExpired("w1", 1)),
        "job.failed": (b'{"reason":"poison"}', ev.JobFailed("poison")),
        "job.cancelled": (b"{}", ev.JobCancelled()),
    }
    for name, (body, event) in written.items():
        assert decode(record(name, body)) == event


def test_a_field_of_a_later_release_is_passed_over() -> None:
    body = b'{"attempt":1,"worker":"w","gpu":"a"}'
    assert decode(record("job.started", body)) == ev.JobStarted(1, "w")


def test_an_unknown_event_is_named_with_its_position() -> None:
    with pytest.raises(UnknownEvent, match=r"default:1:3.*'job\.exploded'"):
        decode(record("job.exploded", b"{}"))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"attempt":"one","worker":"w"}', b'{"worker":"w"}', b'{"attempt":1e9}',
     b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_an_unreadable_body_is_named_with_its_position(body: bytes) -> None:
    with pytest.raises(UnreadableEvent, match=r"job\.started at default:1:3"):
        decode(record("job.started", body))


def test_a_payload_too_deep_to_walk_is_unreadable_and_no_crash() -> None:
    deep = b'{"type":"t","payload":{"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
    with pytest.raises(UnreadableEvent):
        decode(record("job.submitted", deep))


@given(histories())
def test_every_event_survives_being_written(history: list[Pair]) -> None:
    for written, event in history:
        assert decode(written) == event
        assert ev.body_of(decode(written)) == written.body


@given(names.filter(lambda text: ":" not in text), st.integers(1, 2**31), st.integers(0, 2**53))
def test_positions_are_read_back(partition: str, epoch: int, seq: int) -> None:
    text = ev.position(partition, epoch, seq)
    assert ev.parse_position(text) == (partition, epoch, seq)
    assert text == f"{partition}:{epoch}:{seq}"


@pytest.mark.parametrize("text", ["", "a", "a:1", "a:1:2:3", "a:x:1", "a:1:x", "1:2", "a:1:"])
def test_other_text_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="expected a position such as 'default:1:42', got"):
        ev.parse_position(text)


def test_events_are_frozen() -> None:
    event = ev.JobCancelled("ada", "why")
    with pytest.raises(AttributeError):
        event.actor = "bob"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_record_knows_its_position() -> None:
    made = record_of(ev.JobQueued("due"), job=job_id(1), version=1, seq=7, time=5)
    assert made.position == "default:1:7"
