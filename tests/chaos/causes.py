"""Which fault a lease expired of: one that has none is a lease that was lost for no reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from millstream.core import events as ev
from millstream.core.audits.report import Report

from .injury import Injury
from .stage import Exit

LOOK_BACK = 10.0
"""Seconds beyond a lease after which it is taken back at the latest, also where who does it was
down itself."""

NOTHING = "nothing that is known"

BLOCKS = "chaos.blocking"
"""Type of jobs that block the loop: who is given a job meanwhile does not hear of it."""


class Causes:
    """Finds for each lease that expired what had happened to its worker, to Redis, or between them.

    role_of  the name of a worker, as in events → its role
    causes   what had happened → how many leases expired of it
    timed    a lease that nothing had happened to is a violation; or else it is only told, since a
             machine with too much to do may halt a worker as well as we do
    """

    def __init__(
        self,
        role_of: Callable[[str], str | None],
        injuries: Sequence[Injury],
        exits: Sequence[Exit],
        lease: float,
        *,
        timed: bool = True,
    ) -> None:
        self.causes: Counter[str] = Counter()
        self._role_of = role_of
        self._injuries = injuries
        self._exits = exits
        self._timed = timed
        self._window = lease + LOOK_BACK
        self._expired: list[tuple[str, float, str]] = []
        self._blocked: dict[str, list[float]] = {}

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Take note of one more event."""
        at = record.time / 1000
        match event:
            case ev.JobLeaseExpired(worker=worker):
                self._expired.append((worker, at, record.position))
            case ev.JobStarted(worker=worker) if self._type(record.job, report) == BLOCKS:
                self._blocked.setdefault(worker, []).append(at)
            case _:
                pass

    def close(self, report: Report) -> None:
        """Find the cause of each."""
        for worker, at, position in self._expired:
            cause = self._cause(worker, at)
            self.causes[cause or NOTHING] += 1
            if cause is None and self._timed:
                detail = f"expected a fault of {worker} or of Redis before it"
                report.add("expired-uncaused", position, detail)

    def _type(self, job: str, report: Report) -> str:
        return report.jobs[job].type if job in report.jobs else ""

    def _cause(self, worker: str, at: float) -> str | None:
        """The last that happened before, to the worker first of all."""
        role, since = self._role_of(worker), at - self._window
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
            blocked = any(since <= begun <= at for begun in self._blocked.get(worker, ()))
            return "a handler had blocked its loop" if blocked else None
        fault = max(found, key=lambda one: one.begin).fault
        return f"{fault.kind} {'' if fault.target == role else fault.target}".strip()
