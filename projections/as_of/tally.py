"""Counts how events move jobs between states, without folding each job. Pure."""

from collections import Counter
from collections.abc import Iterable

from ...core.errors import UnknownEvent, UnreadableEvent
from ...core.events import Record
from ...core.jobs import MOVES, JobState, Move, move_of, state_after
from ...core.upcast import decode


class Tally:
    """Counts how events move jobs between states.

    `unknown`: jobs whose state before their first event here only an earlier event tells, with the
    version of that one.
    """

    def __init__(self) -> None:
        self.moved: Counter[JobState] = Counter()
        self.unknown: dict[str, int] = {}
        self._last: dict[str, JobState] = {}

    def take(self, record: Record) -> None:
        """Count one event; what cannot be read moves nothing, here as in the tables."""
        if not record.job:
            return
        try:
            event = decode(record)
        except (UnknownEvent, UnreadableEvent):
            return
        self.move(record.job, record.version, MOVES.get(record.type) or move_of(event))

    def move(self, job: str, version: int, move: Move) -> None:
        """Count what one event does to its job."""
        before, after = move
        before = self._last.get(job) or before
        if before is not None:
            self.moved[before] -= 1
        elif version > 1:
            self.unknown[job] = version - 1
        self._last[job] = after
        self.moved[after] += 1

    def settle(self, earlier: Iterable[Record]) -> None:
        """Take jobs from the states that those earlier events left them in."""
        for record in earlier:
            self.moved[state_after(decode(record))] -= 1
            del self.unknown[record.job]
