"""Flows as they are said, made into a plan: parents come first, and a cycle is named."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.api.flow_shapes import Plan, decode, plan_of
from millstream.api.problems import Problem


def planned(**flow: Any) -> Plan:
    return plan_of(decode(msgspec.json.encode(flow)))


@st.composite
def graphs(draw: st.DrawFn) -> list[set[int]]:
    """Per job those it waits for; jobs said in any order, without a cycle."""
    count = draw(st.integers(1, 12))
    order = draw(st.permutations(range(count)))
    parents: list[set[int]] = [set() for _ in range(count)]
    for at, job in enumerate(order):
        if at:
            parents[job] = draw(st.sets(st.sampled_from(order[:at]), max_size=3))
    return parents


def said(parents: list[set[int]]) -> list[dict[str, Any]]:
    return [
        {"type": "t", "key": f"k{n}", "depends_on": [f"k{p}" for p in sorted(some)]}
        for n, some in enumerate(parents)
    ]


@given(graphs())
def test_parents_come_first(parents: list[set[int]]) -> None:
    plan = planned(jobs=said(parents))
    place = {job: at for at, job in enumerate(plan.order)}
    assert sorted(place) == list(range(len(parents)))
    for job, some in enumerate(parents):
        assert set(plan.members[job].parents) == some
        assert all(place[parent] < place[job] for parent in some)
        assert all(plan.levels[parent] < plan.levels[job] for parent in some)


@given(graphs(), st.data())
def test_a_cycle_is_named_by_jobs_that_form_one(
    parents: list[set[int]], data: st.DataObject
) -> None:
    below: list[set[int]] = [set() for _ in parents]
    for _ in parents:
        for job, some in enumerate(parents):
            below[job] = some.union(*(below[parent] for parent in some))
    pairs = [(job, parent) for job, some in enumerate(below) for parent in some]
    if not pairs:
        return
    job, ancestor = data.draw(st.sampled_from(pairs))
    parents[ancestor].add(job)
    with pytest.raises(Problem) as found:
        planned(jobs=said(parents))
    (fault,) = found.value.errors
    names = fault.message.removeprefix("expected no cycle, got ").split(" → ")
    assert names[0] == names[-1]
    assert len(names) > 2
    if "…" not in names:
        chain = [int(name[1:]) for name in names]
        assert all(b in parents[a] for a, b in pairwise(chain))


def test_a_chain_and_a_batch_have_edges_of_their_own() -> None:
    jobs = [{"type": "t"}] * 3
    assert [one.parents for one in planned(chain=jobs).members] == [[], [0], [1]]
    plan = planned(batch=jobs, then={"type": "t"}, open=True)
    assert [one.parents for one in plan.members] == [[], [], [], [0, 1, 2]]
    assert plan.open == 3


def test_a_long_chain_is_planned_without_recursion() -> None:
    plan = planned(chain=[{"type": "t"}] * 10_000)
    assert plan.order == list(range(10_000))
