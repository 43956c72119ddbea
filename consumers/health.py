"""Ends a worker that should not go on, so that whoever supervises it starts another."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from ..core.config import Settings
from ..core.connection import connect_sync
from ..core.keys import Keys
from ..core.queue import Finish
from ..core.ready import RECYCLED, STALLED
from ..core.renewing import LeaseRenewer
from ..core.workers import Report, report_from_thread
from .attempts import Attempt
from .handing_back import hand_back, stack_of
from .memory import check_bound, watch_memory
from .slots import Slots
from .stats import Stats
from .watchdog import Watchdog

_log = structlog.stdlib.get_logger("millstream.worker")


class Retirement(NamedTuple):
    """A worker is to drain, with this exit code; `reason` is that of its worker.stopped."""

    code: int
    reason: str


TOO_LARGE = Retirement(RECYCLED, "memory")

FETCHES_NO_MORE = Retirement(STALLED, "stalled")


class Health:
    """Of one worker. When `due` is set it is to drain, for the reason in `retirement`.

    `report` makes what a blocked worker says of itself, given the seconds it is blocked; `given`
    are the verdicts that were not sent yet; `kill` ends the processes of jobs.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        slots: Slots,
        stats: Stats,
        report: Callable[[float], Report],
        given: Callable[[], Iterable[tuple[Attempt, Finish]]],
        kill: Callable[[], None],
    ) -> None:
        self.due = asyncio.Event()
        self.retirement: Retirement | None = None
        self._settings = settings
        self._name = name
        self._slots = slots
        self._report = report
        self._given = given
        self._kill = kill
        self._keys = Keys(settings.namespace)
        self._client = connect_sync(settings.redis_url, timeout=settings.command_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._watchdog = Watchdog(
            slots, stats, settings.stall_timeout,
            tell=self._tell, stalled=self._stalled, dead=self._dead,
        )  # fmt: skip

    def check(self) -> None:
        """Raises ConfigError for a bound of memory that cannot be kept."""
        if self._settings.max_memory is not None:
            check_bound(self._settings.max_memory)

    def start(self) -> None:
        """Watch the worker on this loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._watchdog.start()

    async def run(self) -> None:
        """Watch its memory, if that has a bound."""
        if self._settings.max_memory is not None:
            await watch_memory(self._settings.max_memory, self._too_large)

    def drains(self) -> None:
        """The worker fetches no more, which is no stall."""
        self._watchdog.fetching = False

    def stop(self) -> None:
        """Watch no more."""
        self._watchdog.stop()
        self._client.close()

    def _too_large(self, why: str) -> None:
        _log.warning("this worker takes too much memory and is to be replaced", why=why)
        self._retire(TOO_LARGE)

    def _stalled(self, why: str) -> None:
        _log.error("this worker stalled and is to be replaced", why=why)
        self._retire(FETCHES_NO_MORE)

    def _retire(self, retirement: Retirement) -> None:
        if self.retirement is None:
            self.retirement = retirement
            self.due.set()

    def _tell(self, blocked: float) -> None:
        """Report in the stead of the blocked loop, from the watchdog's thread."""
        _log.warning("the event loop is blocked", seconds=round(blocked, 1),
                     stack=stack_of(self._thread))  # fmt: skip
        try:
            report_from_thread(self._client, self._keys, self._report(blocked))
        except Exception as error:
            _log.debug("no report could be made", error=str(error))

    def _dead(self, blocked: float) -> None:
        """End the process whose loop is blocked, from the watchdog's thread."""
        assert self._loop is not None
        _log.critical("the event loop is dead: this worker ends", seconds=round(blocked, 1),
                      stack=stack_of(self._thread))  # fmt: skip
        self._kill()  # before another worker can be given what runs in processes
        verbs = LeaseRenewer(self._client, self._keys, self._name)
        count = hand_back(verbs, self._slots.held, self._given(), self._loop)
        _log.critical("ended", worker=self._name, handed_back=count, code=STALLED)
        os._exit(STALLED)
