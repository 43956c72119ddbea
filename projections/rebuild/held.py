"""What a stride has folded and not written yet."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from ...core.jobs import TERMINAL, Job
from ..effect import Effect, Failures, Group, Parked, joined
from ..flow_changes import FlowChange, Link, merged

K = TypeVar("K")


class Held:
    """Effects of batches of one partition, one after another, as one.

    jobs  those to be written at the end, as they are now
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._stored: set[str] = set()
        self._replaced: set[str] = set()
        self._counts: dict[Any, int] = defaultdict(int)
        self._minutes: dict[tuple[int, str, str], list[int]] = {}
        self._durations: dict[Any, int] = defaultdict(int)
        self._letters: dict[Group, int] = defaultdict(int)
        self._failures: dict[Group, Failures] = {}
        self._links: list[Link] = []
        self._flows: dict[str, FlowChange] = {}
        self._parked: list[Parked] = []

    def take(self, effect: Effect, stored: Collection[str]) -> list[Job]:
        """Add one more batch; `stored`: those of its jobs that have a row already.

        Returns the jobs that ended and have none: the caller writes them now, for most of them
        never change again.
        """
        self._stored.update(stored)
        self._replaced.update(job.id for job in effect.replaced)
        ended: list[Job] = []
        for job in (*effect.created, *effect.changed):
            if job.state in TERMINAL and job.id not in self._stored:
                self.jobs.pop(job.id, None)
                self._replaced.discard(job.id)  # written now; read back it comes without its spec
                ended.append(job)
            else:
                self.jobs[job.id] = job
        self._add(effect)
        return ended

    def _add(self, effect: Effect) -> None:
        _sum(self._counts, effect.counts)
        _sum(self._durations, effect.durations)
        _sum(self._letters, effect.letters)
        for key, row in effect.minutes.items():
            before = self._minutes.get(key, [0] * len(row))
            self._minutes[key] = [a + b for a, b in zip(before, row, strict=True)]
        for group, failures in effect.failures.items():
            known = self._failures.get(group)
            self._failures[group] = failures if known is None else joined(known, failures)
        for flow, change in effect.flows.items():
            earlier = self._flows.get(flow)
            self._flows[flow] = change if earlier is None else merged(earlier, change)
        self._links += effect.links
        self._parked += effect.parked

    def effect(self) -> Effect:
        """All of it, but for the jobs that were handed out."""
        jobs = sorted(self.jobs.values(), key=lambda job: job.id)
        changed = [job for job in jobs if job.id in self._stored]
        return Effect(
            [],
            [job for job in jobs if job.id not in self._stored],
            changed,
            [job for job in changed if job.id in self._replaced],
            {key: count for key, count in self._counts.items() if count},
            self._minutes,
            {key: count for key, count in self._durations.items() if count},
            self._parked,
            set(),
            self._failures,
            {group: count for group, count in self._letters.items() if count},
            self._links,
            self._flows,
        )


def _sum(total: dict[K, int], more: Mapping[K, int]) -> None:
    for key, count in more.items():
        total[key] += count
