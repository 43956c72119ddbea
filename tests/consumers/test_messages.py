"""Frames: whatever goes into a pipe comes out of it, however it is cut on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millstream.consumers.processes.messages import (
    Begun,
    Ended,
    Frames,
    Halt,
    Hello,
    Ready,
    Run,
    Unfit,
    framed,
    to_child,
    to_worker,
)
from millstream.core.config import Settings
from millstream.core.hot import Lease

ended = st.builds(
    Ended,
    verdict=st.sampled_from(("succeeded", "retry", "failed")),
    body=st.binary(max_size=300),
    delay_ms=st.integers(0, 2**40),
    end=st.binary(max_size=20),
    memory=st.integers(0, 2**50),
)
answers = st.one_of(st.just(Ready()), st.just(Begun()), st.builds(Unfit, st.text()), ended)


@given(st.lists(answers), st.data())
def test_messages_come_out_as_they_went_in(
    messages: list[Ready | Begun | Unfit | Ended], data: st.DataObject
) -> None:
    stream = b"".join(map(framed, messages))
    frames = Frames()
    found: list[object] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += map(to_worker, frames.feed(stream[:cut]))
        stream = stream[cut:]
    assert found == messages


def test_a_process_is_told_all_of_its_settings() -> None:
    settings = Settings(redis_url="redis://:secret@h/1", queues=("a:2",), explicit=frozenset({"x"}))
    lease = Lease("default", "id", 2, 1, 0, 5, b'{"type":"t"}', True)
    for message in (Hello(["a.py"], ["/x"], settings, 7), Run(lease), Halt()):
        (body,) = Frames().feed(framed(message))
        assert to_child(body) == message
