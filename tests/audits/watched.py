"""A history that others are told of, who hold it against what they know from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from millstream.core import events as ev
from millstream.core.audits.history import History
from millstream.core.audits.report import Report


class Audit(Protocol):
    """One that is told of each event after the jobs of the report were, and of the end."""

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None: ...

    def close(self, report: Report) -> None: ...


class Watched(History):
    """Takes records as a history does, and passes on what can be read."""

    def __init__(self, others: Sequence[Audit] = ()) -> None:
        super().__init__()
        self._others = others

    def take(self, record: ev.Record) -> ev.Event | None:
        event = super().take(record)
        if event is not None:
            for other in self._others:
                other.take(record, event, self.report)
        return event

    def close(self, acknowledged: Iterable[str], *, drained: bool) -> Report:
        for other in self._others:
            other.close(self.report)
        return super().close(acknowledged, drained=drained)


def audit_history(
    records: Iterable[ev.Record],
    acknowledged: Iterable[str] = (),
    *,
    drained: bool = False,
    others: Sequence[Audit] = (),
) -> Report:
    """Audit a recorded history; the records of each partition in their order."""
    history = Watched(others)
    for record in records:
        history.take(record)
    return history.close(acknowledged, drained=drained)
