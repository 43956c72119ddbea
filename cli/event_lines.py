"""Events as JSON lines on stdout: those that are asked for, and no more of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from ..core.events import Record
from .output import print_line

if TYPE_CHECKING:
    from ..projections.telling import EventFilter


class Enough(Exception):
    """All that was asked for was shown."""


class Lines:
    """Shows events of `job` (None: of all) that fit; at most `limit`.

    version  of the job's last event met, so that none is shown twice
    """

    def __init__(self, job: str | None, wanted: EventFilter, limit: int | None) -> None:
        self._job = job
        self._wanted = wanted
        self._left = limit
        self.version = 0

    def show(self, records: Iterable[Record]) -> None:
        """Print those of `records`, which go on in order, that are asked for. Raises Enough."""
        from ..api.views import event_of

        end = self._wanted.end
        for record in records:
            if end is not None and record.time >= end:
                raise Enough  # all that follow are later
            if self._job is not None:
                if record.job != self._job or record.version <= self.version:
                    continue
                self.version = record.version
            if not self._wanted.fits(record):
                continue
            print_line(msgspec.json.encode(event_of(record)))
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    raise Enough
