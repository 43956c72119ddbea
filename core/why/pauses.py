"""When a queue gave no jobs to workers."""

from collections.abc import Sequence
from typing import NamedTuple

from .. import events as ev
from ..errors import UnknownEvent, UnreadableEvent
from ..events import Record
from ..upcast import decode


class Pause(NamedTuple):
    """From one event to another; `until` None: it lasts."""

    begun: Record
    by: ev.Command
    until: Record | None


class Pauses:
    """The pauses that events of a queue tell of."""

    def __init__(self, around: Sequence[Record]) -> None:
        self._found: list[Pause] = []
        for record in around:
            if record.type not in _MODES:
                continue
            try:
                event = decode(record)
            except (UnknownEvent, UnreadableEvent):
                continue
            if self._found and self._found[-1].until is None:
                begun, by, _ = self._found.pop()
                self._found.append(Pause(begun, by, record))
            if isinstance(event, ev.QueuePaused):
                self._found.append(Pause(record, event, None))

    def during(self, begin: int, end: int) -> list[Pause]:
        """Those that overlap a span of time (ms)."""
        return [
            pause
            for pause in self._found
            if pause.begun.time < end and (pause.until is None or pause.until.time > begin)
        ]

    @property
    def lasting(self) -> Pause | None:
        """The one that has not ended."""
        return self._found[-1] if self._found and self._found[-1].until is None else None


_MODES = frozenset(kind.name for kind in (ev.QueuePaused, ev.QueueDraining, ev.QueueResumed))
