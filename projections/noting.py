"""The counts of a queue right after some events of a batch, in its midst: pure.

They are told as what the rest of the batch adds to them, since it is the counts at its end that the
tables know.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..core.events import Record
from ..core.jobs import Job, JobState


class Noted(NamedTuple):
    """Counts after an event; `later`: how many more of each state the rest of its batch makes."""

    seq: int
    time: int
    later: Mapping[JobState, int]


class Notes:
    """How many more jobs are in each state than before the batch, after some of its events.

    jobs      of the batch, as they are whenever it is asked; those of parked events are not in it
    previous  those that were there before it, as they were
    """

    def __init__(self, jobs: Mapping[str, Job], previous: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._previous = previous
        self._states: dict[str, JobState] = {}
        self._moved: Counter[JobState] = Counter()
        self._found: list[tuple[Record, dict[JobState, int]]] = []

    def note(self, place: Record, since: Sequence[Record]) -> None:
        """Count after the event `place`, with which the folded records `since` the last one end."""
        jobs, states, previous = self._jobs, self._states, self._previous
        left: list[JobState] = []
        reached: list[JobState] = []
        for id in {record.job for record in since}:
            job = jobs.get(id)
            if job is None:
                continue
            if id in states:
                left.append(states[id])
            elif id in previous:
                left.append(previous[id].state)
            states[id] = job.state
            reached.append(job.state)
        self._moved.update(reached)
        self._moved.subtract(Counter(left))
        self._found.append((place, dict(self._moved)))

    def noted(self, counts: Iterable[tuple[JobState, int]]) -> list[Noted]:
        """What was noted; `counts`: how many more of each state all of the batch makes."""
        if not self._found:
            return []
        whole: Counter[JobState] = Counter()
        for state, count in counts:
            whole[state] += count
        return [
            Noted(place.seq, place.time, {s: whole[s] - moved.get(s, 0) for s in JobState})
            for place, moved in self._found
        ]
