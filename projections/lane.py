"""What the projector remembers of one partition between two batches."""

import copy
import itertools
from collections import deque
from collections.abc import Collection, Sequence

from ..core.codec import Data
from ..core.events import Record
from ..core.jobs import TERMINAL, Job
from .effect import Effect

SNAPSHOT_EVENTS = 1000
SNAPSHOT_MS = 60_000
"""A partition's counts are noted after every event whose seq is a multiple of the one, and at the
end of a batch that comes so long after the last time they were."""

REMEMBERED = 100_000
"""Most live jobs remembered of one partition (some 60 MB); those of others are read when needed."""


class Lane:
    """A partition from its checkpoint on. Thrown away, and loaded again, after any trouble.

    seq, entry   last event folded; the next read goes on after it
    stored       last event committed
    parked       jobs that have a parked event
    halted       why the checkpoint says nothing is projected; None: all is well
    """

    def __init__(
        self, partition: str, epoch: int, seq: int, entry: str, halted: str | None = None
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.seq = seq
        self.entry = entry
        self.stored = seq
        self.halted = halted
        self.parked: set[str] = set()
        self.expected = seq
        self._ends: deque[tuple[int, str]] = deque()
        self._trimmed = seq
        self._jobs: dict[str, Job] = {}
        self._latest: dict[str, Job] = {}
        self._misses = 0
        self._noted_at = 0

    def known(self, ids: Collection[str]) -> dict[str, Job]:
        """Those of the jobs that are remembered, as of the last batch folded."""
        latest, jobs = self._latest, self._jobs
        found: dict[str, Job] = {}
        for job in ids:
            known = latest.get(job) or jobs.get(job)
            if known is not None:
                found[job] = known
        if len(jobs) >= REMEMBERED:
            self._misses += len(ids) - len(found)
        return found

    def advance(self, effect: Effect) -> None:
        """Go on after a batch that is about to be written.

        Its jobs are all kept until the next, since their rows cannot be read before they are
        committed. Beyond that live jobs are kept while there is room: first come, since in a queue
        they are also the first to change. What never changes would fill the room for ever, so it
        is cleared when much was asked for that is not there.
        """
        last = effect.records[-1]
        self.seq, self.entry = last.seq, last.entry
        self.parked.update(event.record.job for event in effect.parked if event.record.job)
        if self._misses > REMEMBERED:
            self._jobs.clear()
            self._misses = 0
        jobs = self._jobs
        latest = self._latest = {}
        for job in itertools.chain(effect.created, effect.changed):
            latest[job.id] = job
            if job.state in TERMINAL:
                jobs.pop(job.id, None)
            elif len(jobs) < REMEMBERED or job.id in jobs:
                jobs[job.id] = slim(job)

    def places(self, records: Sequence[Record]) -> list[Record]:
        """After which events of the next batch counts are to be noted; they then are."""
        first, last = records[0].seq, records[-1]
        multiple = first + -first % SNAPSHOT_EVENTS
        found = [records[seq - first] for seq in range(multiple, last.seq + 1, SNAPSHOT_EVENTS)]
        noted_at = found[-1].time if found else self._noted_at
        if last.time >= noted_at + SNAPSHOT_MS:
            found.append(last)
        if found:
            self._noted_at = found[-1].time
        return found

    def commit(self, seq: int, entry: str) -> None:
        """The events up to `seq`, at stream id `entry`, are archived."""
        self.stored = seq
        self.halted = None
        self._ends.append((seq, entry))

    def remember_end(self, seq: int, entry: str) -> None:
        """An archived event at which the log may be cut off when the margin allows."""
        self._ends.append((seq, entry))

    @property
    def untold(self) -> bool:
        """Whether the log was not told yet how far the archive is."""
        return self.stored > self._trimmed

    def cut(self, margin: int) -> str:
        """The stream id below which the log may be cut off now; '' if nothing may go."""
        self._trimmed = self.stored
        entry = ""
        while self._ends and self._ends[0][0] <= self.stored - margin:
            entry = self._ends.popleft()[1]
        return entry


def slim(job: Job) -> Job:
    """A copy without what the fold never asks for, which may be large."""
    slim = copy.copy(job)
    slim.payload = _NOTHING
    slim.tags = []
    slim.metadata = {}
    return slim


_NOTHING = Data()
