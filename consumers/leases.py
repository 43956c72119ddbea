"""Keeps leases alive from a thread, so that a handler that blocks the loop does not lose its job.

The same calls tell which jobs are to be cancelled and which leases are lost.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog

from ..core.errors import MillstreamError
from ..core.queue import MAX_BATCH
from ..core.renewing import LeaseRenewer
from .attempts import Attempt
from .slots import Slots

_log = structlog.stdlib.get_logger("millstream.worker")

LOST, RENEWED, TO_CANCEL = 0, 1, 2

Told = Callable[[list[tuple[Attempt, int]]], object]


class LeaseKeeper:
    """Renews the leases of the attempts in hand that have lasted longer than a tick, and whatever
    was given by a claim whose reply has been due for as long.

    `told` is called in this thread with the attempts whose lease is lost or whose cancellation was
    requested. `client` belongs to this thread alone.
    """

    def __init__(
        self, client: Any, renewer: LeaseRenewer, slots: Slots, lease: float, told: Told
    ) -> None:
        self._client = client
        self._renewer = renewer
        self._slots = slots
        self._tick = min(lease / 3, 1.0)
        self._told = told
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end; does not wait for a call on its way."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._tick):
            try:
                self._renew_all()
            except MillstreamError as error:
                _log.warning("leases could not be renewed", error=str(error))
                self._disconnect()
            except Exception as error:
                _log.error("leases could not be renewed", exc_info=error)
                self._disconnect()
        self._disconnect()

    def _renew_all(self) -> None:
        before = time.monotonic() - self._tick
        for partition, since in self._slots.asked.copy().items():
            if since <= before:
                self._renewer.renew_all(partition)
        by_partition: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in snapshot(self._slots.held):
            if attempt.since <= before:
                by_partition[attempt.lease.partition].append(attempt)
        for partition, attempts in by_partition.items():
            for batch in _batches(attempts):
                leases = [(attempt.lease.id, attempt.lease.fence) for attempt in batch]
                replies = self._renewer.renew(partition, leases)
                pairs = zip(batch, replies, strict=True)
                news = [(attempt, reply) for attempt, reply in pairs if reply != RENEWED]
                if news and not self._stopping.is_set():
                    self._told(news)

    def _disconnect(self) -> None:
        """Use no connection again that may hold half a reply."""
        try:
            self._client.connection_pool.disconnect()
        except Exception as error:
            _log.warning("a connection could not be closed", error=str(error))


def snapshot(held: set[Attempt]) -> list[Attempt]:
    """The attempts in hand, from a thread."""
    while True:
        try:
            return list(held)
        except RuntimeError:
            continue  # the loop changed it in the middle, which is rare


def _batches(attempts: Sequence[Attempt]) -> Iterator[Sequence[Attempt]]:
    for first in range(0, len(attempts), MAX_BATCH):
        yield attempts[first : first + MAX_BATCH]
