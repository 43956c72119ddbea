"""What a batch of events changes in flows, and which edges begin in it: a part of the fold."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..core.jobs import Job


class FlowChange(msgspec.Struct):
    """What a batch changes in a flow: when its first and last event were (ms), and how many more
    jobs it has, in all and by state."""

    first_at: int
    last_at: int
    jobs: int = 0
    states: dict[str, int] = {}


def merged(one: FlowChange, other: FlowChange) -> FlowChange:
    """The same of two batches, in whatever order they came."""
    states = dict(one.states)
    for state, count in other.states.items():
        states[state] = states.get(state, 0) + count
    first = min(one.first_at, other.first_at)
    return FlowChange(first, max(one.last_at, other.last_at), one.jobs + other.jobs, states)


class Link(NamedTuple):
    """Who waits, for which job, and in which flow."""

    dependent: str
    parent: str
    flow: str | None


class FlowChanges:
    """The flows of a batch on their way through it."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.changes: dict[str, FlowChange] = {}

    def link(self, job: Job, parents: Sequence[str]) -> None:
        """Note that a job waits for others."""
        self.links += [Link(job.id, parent, job.flow) for parent in parents]

    def touch(self, flow: str, time: int) -> FlowChange:
        """Note that something happened in a flow."""
        change = self.changes.get(flow)
        if change is None:
            change = self.changes[flow] = FlowChange(time, time)
        change.first_at = min(change.first_at, time)
        change.last_at = max(change.last_at, time)
        return change

    def count(self, job: Job, count: int) -> None:
        """Count a job in its flow, as it is or (-1) as it was."""
        if job.flow is not None:
            change = self.changes.get(job.flow) or self.touch(job.flow, job.submitted_at)
            change.jobs += count
            change.states[job.state] = change.states.get(job.state, 0) + count
