"""What a batch of records is to write to the tables: its shapes, without how it was found."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..core import events as ev
from ..core.jobs import Job, JobState
from .flow_changes import FlowChange, Link
from .noting import Noted

MINUTE_FIELDS = ("submitted", "started", "succeeded", "failed", "cancelled", "retried")

Group = tuple[str, str, str, str]
"""Of dead letters that are alike: queue, type, reason, fingerprint."""


class Failures(NamedTuple):
    """Jobs of a group that failed in a batch: its label, when the first and the last of them did
    (ms), and that last job; of several in one ms, that of the greatest id."""

    label: str
    first_at: int
    last_at: int
    job: str


def joined(one: Failures, other: Failures) -> Failures:
    """The same of two batches, in whatever order they came."""
    first = min(one.first_at, other.first_at)
    last = max(one, other, key=lambda each: (each.last_at, each.job))
    return last._replace(first_at=first)


class Parked(NamedTuple):
    """An event that is kept aside, and why."""

    record: ev.Record
    reason: str


class Effect(msgspec.Struct):
    """What is to be written.

    records   to the archive, in order
    created   jobs that begin in this batch, as they are at its end
    changed   jobs that began before, as they are at its end
    replaced  those of `changed` that were given another spec
    counts    (queue, type, state) → how many more
    minutes   (minute, queue, type) → how many more, in the order of MINUTE_FIELDS
    durations (minute, queue, type, 'wait' or 'run', bucket) → how many more
    failures  groups in which jobs failed
    letters   group → how many more dead letters
    links     that begin in this batch
    flows     flow → what changes in it
    parked    events that were not applied
    raw       seq of those that the columns of the archive may not be able to hold
    noted     counts of the queue that are to be kept, in order
    """

    records: Sequence[ev.Record]
    created: list[Job] = []
    changed: list[Job] = []
    replaced: list[Job] = []
    counts: dict[tuple[str, str, JobState], int] = {}
    minutes: dict[tuple[int, str, str], list[int]] = {}
    durations: dict[tuple[int, str, str, str, int], int] = {}
    parked: list[Parked] = []
    raw: set[int] = set()
    failures: dict[Group, Failures] = {}
    letters: dict[Group, int] = {}
    links: list[Link] = []
    flows: dict[str, FlowChange] = {}
    noted: list[Noted] = []
