"""Laws of the fold of a job's events: over any legal history, and against any other."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.errors import IllegalTransition
from millstream.core.jobs import (
    ALLOWED,
    TERMINAL,
    Job,
    advance,
    begin,
    evolve,
    fold,
)
from tests.strategies import START_MS, Pair, histories, record_of

from .lives import ID, SAMPLES


@given(histories())
def test_any_legal_history_folds(history: Sequence[Pair]) -> None:
    job = fold(history)
    assert job is not None
    assert (job.version, job.seq) == (len(history), history[-1][0].seq)
    assert job.terminal == (job.state in TERMINAL)
    assert job.terminal == (job.finished_at is not None)


@given(histories())
def test_evolve_leaves_its_argument_as_it_was(history: Sequence[Pair]) -> None:
    job: Job | None = None
    for record, event in history:
        before = copy.deepcopy(job)
        after = evolve(job, record, event)
        assert job == before
        job = after


@given(histories())
def test_evolve_and_advance_are_the_same(history: Sequence[Pair]) -> None:
    evolved = owned = begin(*history[0])
    owned = copy.deepcopy(owned)
    for record, event in history[1:]:
        evolved = evolve(evolved, record, event)
        advance(owned, record, event)
        assert owned == evolved


@given(histories(max_size=20), st.data())
def test_folding_is_the_same_however_it_is_cut(history: list[Pair], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(history)))
    job = fold(history[:cut])
    for record, event in history[cut:]:
        job = evolve(job, record, event)
    assert job == fold(history)


@given(histories(), st.integers(0, 40))
def test_versions_are_contiguous(history: list[Pair], version: int) -> None:
    job = fold(history)
    assert job is not None
    before = copy.deepcopy(job)
    for event in SAMPLES:
        record = record_of(event, job=ID, version=version, seq=99, time=START_MS)
        legal = version == job.version + 1 and job.state in ALLOWED.get(type(event), ())
        legal = legal and not (job.discarded and type(event) is not ev.JobRedriven)
        if legal:
            assert evolve(job, record, event).version == version
        else:
            with pytest.raises(IllegalTransition):
                evolve(job, record, event)
        assert job == before


@given(histories())
def test_an_end_is_followed_by_a_redrive_or_a_discard_or_by_nothing(history: list[Pair]) -> None:
    for cut in range(1, len(history)):
        job = fold(history[:cut])
        assert job is not None
        if job.terminal:
            assert type(history[cut][1]) in (ev.JobRedriven, ev.JobDiscarded)


@given(histories(max_size=6), st.data())
def test_no_event_can_be_left_out_or_doubled(history: list[Pair], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(history) - 1))
    with pytest.raises(IllegalTransition):
        fold([*history[: at + 1], *history[at:]])
    if at < len(history) - 1:
        with pytest.raises(IllegalTransition):
            fold(history[:at] + history[at + 1 :])
