"""What is remembered of a job while its history is told, and what was told."""

from collections import deque
from collections.abc import Sequence

from ..errors import MillstreamError
from ..events import Event, Record
from ..jobs import Job
from .pauses import Pauses
from .sentences import Sentence

MOST = 200
"""Sentences of the past that are kept: the latest."""

WORTH_TELLING = 1000
"""Ms of waiting that are worth a sentence."""


class Story:
    """One job on its way through its events.

    around   events of its queue while it lived, and of its schedule, in order
    cause    why the job is not what it was before it runs again: code, words, and the event
    ready    the event since which it may run; `blocked`, `started`: those that did so last
    failed   the last event that told of a failed attempt
    timed    the event that gave it the time it waits for
    parked   an event could not be applied
    """

    def __init__(self, around: Sequence[Record] = ()) -> None:
        self.job: Job | None = None
        self.pauses = Pauses(around)
        self.around = around
        self.cause: tuple[str, str, Record] | None = None
        self.ready: Record | None = None
        self.blocked: Record | None = None
        self.started: Record | None = None
        self.failed: Record | None = None
        self.timed: Record | None = None
        self.last: Event | None = None
        self._told: deque[Sentence] = deque(maxlen=MOST)
        self.parked = False

    @property
    def told(self) -> list[Sentence]:
        """What was told of the past so far."""
        return list(self._told)

    def say(self, code: str, text: str, *records: Record | None) -> None:
        """Tell something, and which events say so."""
        cited = dict.fromkeys(record.position for record in records if record is not None)
        self._told.append(Sentence(code, text, list(cited)))

    def park(self, record: Record, error: MillstreamError) -> None:
        """An event could not be applied; none after it will be."""
        self.parked = True
        self.say(
            "parked",
            f"What the log says of it from here on cannot be applied and is kept aside: {error}.",
            record,
        )
