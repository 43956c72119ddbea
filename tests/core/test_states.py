"""What an event alone tells of its job's state is what the fold says."""

from __future__ import annotations

import pytest
from hypothesis import given

from millstream.core import events as ev
from millstream.core.jobs import (
    ALLOWED,
    ASK_BODY,
    MOVES,
    Job,
    evolve,
    move_of,
    state_after,
    state_before,
)
from millstream.core.jobs.changes import CHANGES
from tests.core.samples import SAMPLES
from tests.strategies import Pair, histories


@given(histories(max_size=15))
def test_an_event_tells_the_states_around_it(history: list[Pair]) -> None:
    job: Job | None = None
    for record, event in history:
        before = state_before(event)
        if before is not None:
            assert job is not None
            assert job.state == before
        job = evolve(job, record, event)
        assert state_after(event) == job.state
        assert MOVES.get(record.type) in (None, move_of(event))


@pytest.mark.parametrize("name", [n for n, event in SAMPLES.items() if type(event) in CHANGES])
def test_the_state_after_an_event_is_the_same_after_any_state(name: str) -> None:
    event: ev.Event = SAMPLES[name]
    for state in ALLOWED[type(event)]:
        assert state is not None
        job = Job(id="", queue="", state=state)
        CHANGES[type(event)](job, event, 0)
        assert job.state == state_after(event), state


@pytest.mark.parametrize("kind", ALLOWED, ids=lambda kind: kind.name)
def test_a_type_tells_what_its_events_do_or_asks_for_the_body(kind: type[ev.Event]) -> None:
    moves = {move_of(event) for event in SAMPLES.values() if type(event) is kind}
    assert moves
    if kind.name in ASK_BODY:
        assert kind.name not in MOVES
    else:
        assert moves == {MOVES[kind.name]}
