"""Which fault a lease expired of: one that has none is a lease that was lost for no reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from millstream.core import events as ev
from tests.audits.report import Report

from .injury import Injury
from .stage import Exit

LOOK_BACK = 10.0
"""Seconds beyond a lease after which it is taken back at the latest, also where who does it was
down itself."""


class Causes:
    """Finds for each lease that expired what had happened to its worker, to Redis, or between them.

    role_of  the name of a worker, as in events → its role
    causes   what had happened → how many leases expired of it
    """

    def __init__(
        self,
        role_of: Callable[[str], str | None],
        injuries: Sequence[Injury],
        exits: Sequence[Exit],
        lease: float,
    ) -> None:
        self.causes: Counter[str] = Counter()
        self._role_of = role_of
        self._injuries = injuries
        self._exits = exits
        self._window = lease + LOOK_BACK

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event."""
        if isinstance(event, ev.JobLeaseExpired):
            cause = self._cause(self._role_of(event.worker), record.time / 1000)
            if cause is None:
                detail = f"expected a fault of {event.worker} or of Redis before it"
                report.add("expired-uncaused", record.position, detail)
            else:
                self.causes[cause] += 1

    def close(self, report: Report) -> None:
        """Nothing is left to say."""

    def _cause(self, role: str | None, at: float) -> str | None:
        """The last that happened before, to the worker first of all."""
        since = at - self._window
        for end in reversed(self._exits):
            if end.role == role and since <= end.time <= at:
                return "its worker had ended" if end.ordered else "its worker had died by itself"
        found = [
            one
            for one in self._injuries
            if one.begin <= at
            and one.end >= since
            and one.fault.target in (role, f"{role}>valkey", "valkey")
        ]
        if not found:
            return None
        fault = max(found, key=lambda one: one.begin).fault
        return f"{fault.kind} {'' if fault.target == role else fault.target}".strip()
