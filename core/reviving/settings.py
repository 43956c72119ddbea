"""The mode of a queue, its limits, job types and workers, as its events tell them."""

import msgspec

from .. import events as ev
from ..limits import QueueLimits, bounds_of

WHOLE = ("c", "r", "aging")
"""Limits that leave nothing behind when they are taken away: see configure.lua."""


class Settings:
    """Takes the events of a partition in order."""

    def __init__(self) -> None:
        self.mode = ""
        self.bounds: dict[str, str] = {}
        self.types: set[str] = set()
        self.serving: set[str] = set()

    def take(self, event: ev.Event) -> None:
        """One more event."""
        match event:
            case ev.QueuePaused():
                self.mode = "paused"
            case ev.QueueDraining():
                self.mode = "draining"
            case ev.QueueResumed():
                self.mode = ""
            case ev.WorkerStarted(worker=worker, types=types):
                self.types.update(types)
                self.serving.add(worker)
            case ev.WorkerStopped(worker=worker) | ev.WorkerLost(worker=worker):
                self.serving.discard(worker)
            case ev.QueueConfigured(settings=settings):
                self._configure(msgspec.convert(settings, QueueLimits))
            case _:
                pass

    def _configure(self, limits: QueueLimits) -> None:
        for field, bound in bounds_of(limits).items():
            if bound:
                self.bounds[field] = bound
            elif field in WHOLE:
                self.bounds.pop(field, None)
            elif field in self.bounds:
                self.bounds[field] = "-"
