"""Counts noted in the midst of a batch are those of a fold that ends there, however it is cut."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.events import Record
from millstream.core.jobs import Job, JobState
from millstream.projections.fold import fold
from millstream.projections.lane import SNAPSHOT_EVENTS, SNAPSHOT_MS, Lane
from tests.projections.stage import life
from tests.strategies import Pair, logs


def counted(records: list[Record]) -> dict[JobState, int]:
    states = Counter(job.state for job in fold(records, {}).created)
    return {state: states[state] for state in JobState}


@given(
    log=logs(max_jobs=4, max_size=8),
    begin=st.integers(0, 30),
    seqs=st.sets(st.integers(1, 60)),
    bad=st.sets(st.integers(1, 60), max_size=2),
)
def test_anywhere_in_any_batch(log: list[Pair], begin: int, seqs: set[int], bad: set[int]) -> None:
    """Also where events are parked (`bad`), and their jobs from there on."""
    records = [
        msgspec.structs.replace(one, body=b"?") if one.seq in bad and one.job else one
        for one, _ in log
    ]
    before, batch = records[:begin], records[begin:]
    first = fold(before, {})
    previous: dict[str, Job] = {job.id: job for job in first.created}
    parked = {event.record.job for event in first.parked}
    places = [record for record in batch if record.seq in seqs]
    effect = fold(batch, previous, parked, noted=places)
    assert [note.seq for note in effect.noted] == [place.seq for place in places]
    at_end = counted(records)
    for note, place in zip(effect.noted, places, strict=True):
        told = {state: at_end[state] - note.later[state] for state in JobState}
        assert told == counted([one for one in records if one.seq <= place.seq])
        assert note.time == place.time


def test_of_events_that_are_not_folded_themselves() -> None:
    """An import leaves out those of jobs that retention dropped: the place counts all the same."""
    one = life(1, ev.JobSubmitted("t"), ev.JobStarted(1, "w"))
    gone, last = life(2, ev.JobSubmitted("t"), seq=3), life(3, ev.JobSubmitted("t"), seq=4)
    (note,) = fold([*one, *last], {}, noted=gone).noted
    assert (note.seq, note.time) == (3, gone[0].time)
    assert {state for state, count in note.later.items() if count} == {JobState.QUEUED}


@given(st.sets(st.integers(1, 5000)), st.integers(0, 3 * SNAPSHOT_MS))
def test_places_do_not_depend_on_how_a_log_is_cut(cuts: set[int], step_ms: int) -> None:
    """But for those that are noted because a minute has passed."""
    submitted = ev.JobSubmitted("t")
    (one,) = life(1, submitted)
    records = [
        msgspec.structs.replace(one, seq=seq, time=one.time + seq * step_ms)
        for seq in range(1, 5001)
    ]
    lane = Lane("default", 1, 0, "0-0")
    ends = sorted({*cuts, len(records)})
    found, told = set[int](), 0
    for start, end in zip([0, *ends], ends, strict=False):
        places = lane.places(records[start:end])
        assert all(record in records[start:end] for record in places)
        found |= {place.seq for place in places}
        last = records[end - 1].time
        told = places[-1].time if places else told
        assert last < told + SNAPSHOT_MS
    multiples = set(range(SNAPSHOT_EVENTS, 5001, SNAPSHOT_EVENTS))
    assert multiples <= found
    assert found - multiples <= set(ends)
