"""Old bodies become new ones on read, step by step, and what stands in the log stays."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core import upcast
from millstream.core.codec import Data
from millstream.core.errors import UnreadableEvent
from tests.strategies import job_id


class Posted(ev.Event, frozen=True):
    """A third version: `to` was a text, then a list, and then `urgent` came."""

    name: ClassVar[str] = "test.posted"
    schema: ClassVar[int] = 3
    to: list[str]
    urgent: bool
    payload: Data = Data()


class Emptied(ev.Event, frozen=True):
    name: ClassVar[str] = "test.emptied"
    schema: ClassVar[int] = 2


def _to_list(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "to": [body["to"]]}


def _urgent(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "urgent": "boss" in body["to"]}


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Posted, Emptied):
        monkeypatch.setitem(upcast.KINDS, kind.name, kind)
        monkeypatch.setitem(upcast._decoders, kind.name, msgspec.json.Decoder(kind).decode)
    monkeypatch.setitem(upcast.UPCASTERS, (Posted.name, 1), _to_list)
    monkeypatch.setitem(upcast.UPCASTERS, (Posted.name, 2), _urgent)


def read(body: bytes, kind: type[ev.Event] = Posted) -> ev.Event:
    return upcast.decode(ev.Record("q", 1, 1, kind.name, job_id(1), 1, body, 5, "5-0"))


def test_a_body_without_a_marker_is_the_first_schema() -> None:
    assert read(b'{"to":"boss"}') == Posted(["boss"], urgent=True)


def test_only_the_steps_that_are_missing_are_taken() -> None:
    assert read(b'{"_v":2,"to":["ada"]}') == Posted(["ada"], urgent=False)


def test_what_is_written_today_says_its_schema_and_is_read_as_it_is() -> None:
    event = Posted(["boss"], urgent=False)
    assert ev.body_of(event) == b'{"_v":3,"to":["boss"],"urgent":false}'
    assert read(ev.body_of(event)) == event
    assert ev.body_of(Emptied()) == b'{"_v":2}'
    assert read(ev.body_of(Emptied()), Emptied) == Emptied()


def test_a_payload_comes_through_byte_for_byte() -> None:
    raw = b'{"n": 12345678901234567890123, "b":1.0,"a":"\\u0000"}'
    event = read(b'{"to":"ada","payload":{"data":' + raw + b',"codec":"json"}}')
    assert isinstance(event, Posted)
    assert bytes(event.payload.data) == raw


def test_a_later_schema_is_read_as_far_as_it_is_known() -> None:
    assert read(b'{"_v":4,"to":["a"],"urgent":true,"more":1}') == Posted(["a"], urgent=True)


@pytest.mark.parametrize("body", [b"{", b'{"_v":"x"}', b'{"_v":2}', b"[]", b'{"_v":3,"to":7}'])
def test_an_unreadable_body_is_named(body: bytes) -> None:
    with pytest.raises(UnreadableEvent, match="q:1:1"):
        read(body)
