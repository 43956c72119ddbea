"""The events of a queue, and of the workers that serve it."""

from typing import Any

from .base import Command, Event


class QueuePaused(Command, frozen=True):
    """Nothing of the queue is given to workers any more; it takes jobs all the same."""

    name = "queue.paused"


class QueueDraining(Command, frozen=True):
    """The queue takes no jobs any more; what it has is run."""

    name = "queue.draining"


class QueueResumed(Command, frozen=True):
    """The queue takes jobs and gives them to workers again."""

    name = "queue.resumed"


class QueueConfigured(Command, frozen=True):
    """Settings of the queue were changed: `settings` holds those that changed, null: taken away."""

    name = "queue.configured"
    settings: dict[str, Any] = {}


class QueuePurged(Command, frozen=True):
    """Waiting jobs of the queue were cancelled, all in one command; each has its own event."""

    name = "queue.purged"
    count: int = 0


class QueueRestored(Command, frozen=True):
    """The first event of a new epoch: the queue was restored to what its archive held.

    archived  seq of the last event that was kept of the `lost` epoch
    known     seq of the last event that was known of it: those between the two cannot be recovered
    salvaged  events kept of what was written after the log had gone back: they come next
    """

    name = "queue.restored"
    lost: int = 0
    archived: int = 0
    known: int = 0
    salvaged: int = 0


class WorkerStarted(Event, frozen=True):
    """A worker process began to serve this queue."""

    name = "worker.started"
    worker: str
    types: list[str] = []


class WorkerLost(Event, frozen=True):
    """A worker process of this queue is gone without a word; its jobs run elsewhere.

    Should it come back after all, another worker.started follows.
    """

    name = "worker.lost"
    worker: str


class WorkerStopped(Event, frozen=True):
    """A worker process left this queue in good order. `reason`: asked, memory, stalled."""

    name = "worker.stopped"
    worker: str
    reason: str = "asked"
