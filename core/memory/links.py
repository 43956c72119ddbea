"""Who waits for whom, and what is still to be told to those who wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

OPEN = "open"
"""Among those a job waits for: there may be more to come."""

EARLY_MS = 3_600_000
"""How long it is kept for a job that is not there yet how others ended."""

STAYS = "*"
"""Behind who waits for a job also once that one did not succeed."""

AT_ONCE = 100
"""Most jobs that one notice of the outbox is for."""


@dataclass
class Notice:
    """What the outbox holds: `ended` (job, outcome) is to be told to `dependents`.

    given  when (ms) it was given to somebody who has not settled it; None: it was not
    """

    entry: str
    ended: list[tuple[str, Any]]
    dependents: list[str]
    given: int | None = None


@dataclass
class Early:
    """How others ended: job → outcome; kept until then (ms), or for no certain time."""

    ended: dict[str, str] = field(default_factory=dict)
    until: int | None = None


@dataclass
class Links:
    """All edges that end here, and those that begin here. Members of sets stay in their order.

    awaited  job → who waits for it, in any queue
    parents  job that waits → those it waits for still
    early    job → what it was told too early, or while it is open
    seen     job that waits → when (ms) it was last seen to; 0: that is to be done
    outbox   notices in the order they came
    notices  how often something was put there
    """

    awaited: dict[str, dict[str, None]] = field(default_factory=dict)
    parents: dict[str, dict[str, None]] = field(default_factory=dict)
    early: dict[str, Early] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    outbox: list[Notice] = field(default_factory=list)
    notices: int = 0

    # -- where the parent lives ---------------------------------------------------

    def await_(self, job: str, waiting: Iterable[str]) -> None:
        """These wait for a job."""
        self.awaited.setdefault(job, {}).update(dict.fromkeys(waiting))

    def tell(self, job: str, outcome: str) -> None:
        """Have it told to those that wait for a job how it ended; who stays waits on."""
        members = self.awaited.pop(job, {})
        again = outcome in ("failed", "cancelled")  # it may be run again
        staying = {one: None for one in members if again and one.endswith(STAYS)}
        if staying:
            self.awaited[job] = staying
        self.send([one.rstrip(STAYS) for one in members if one not in staying], job, outcome)

    def send(self, ids: Sequence[str], job: str, outcome: str) -> None:
        """Put it into the outbox what became of a job, for these."""
        for first in range(0, len(ids), AT_ONCE):
            self.notices += 1
            them = list(ids[first : first + AT_ONCE])
            self.outbox.append(Notice(f"{self.notices}-0", [(job, outcome)], them))

    def leave(self, job: str, waiting: str) -> None:
        """One that would have waited on for a job does so no more."""
        members = self.awaited.get(job, {})
        members.pop(waiting + STAYS, None)
        if not members:
            self.awaited.pop(job, None)

    # -- where the dependent does -------------------------------------------------

    def depend(self, job: str, parents: Iterable[str]) -> None:
        """A job waits for these, beside those it waits for already."""
        self.parents.setdefault(job, {}).update(dict.fromkeys(parents))

    def is_open(self, job: str) -> bool:
        """Whether there may be more for it to wait for."""
        return OPEN in self.parents.get(job, ())

    def done(self, job: str, parents: Iterable[str]) -> bool:
        """It waits for these no more; whether for none at all."""
        left = self.parents.get(job, {})
        for parent in parents:
            left.pop(parent, None)
        if not left:
            self.parents.pop(job, None)
        return not left

    def forget(self, job: str) -> list[str]:
        """A job waits for others no more; those it would have waited for."""
        self.seen.pop(job, None)
        self.early.pop(job, None)
        return [parent for parent in self.parents.pop(job, {}) if parent != OPEN]

    def keep_early(self, job: str, ended: Iterable[tuple[str, str]], now: int) -> None:
        """Keep it for a job that is not there yet."""
        kept = self._early(job, now)
        kept.ended.update(ended)
        kept.until = now + EARLY_MS if kept.until is None else kept.until

    def keep_open(self, job: str, ended: Iterable[tuple[str, str]], now: int) -> None:
        """Keep it for an open job, which may learn only later for whom it waits."""
        self._early(job, now).ended.update(ended)

    def known(self, job: str, now: int) -> dict[str, str]:
        """What was kept for a job."""
        kept = self.early.get(job)
        return {} if kept is None or _over(kept, now) else kept.ended

    def in_time(self, now: int) -> dict[str, Early]:
        """What is kept for jobs still."""
        return {job: kept for job, kept in self.early.items() if not _over(kept, now)}

    def _early(self, job: str, now: int) -> Early:
        if not self.known(job, now):
            self.early[job] = Early()
        return self.early[job]

    # -- the outbox ---------------------------------------------------------------

    def take(self, limit: int, idle_ms: int, now: int) -> list[Notice]:
        """Give what was given to others so long ago, if that is asked for, then what is new."""
        left = [
            one for one in self.outbox if one.given is not None and now - one.given >= idle_ms > 0
        ]
        fresh = [one for one in self.outbox if one.given is None]
        found = (left[:limit] + fresh)[:limit]
        for one in found:
            one.given = now
        return found

    def settle(self, entries: Sequence[str]) -> None:
        """Those were told."""
        self.outbox = [one for one in self.outbox if one.entry not in entries]

    def lose_group(self) -> None:
        """The server lost who was given what: nothing was."""
        for one in self.outbox:
            one.given = None


def _over(kept: Early, now: int) -> bool:
    return kept.until is not None and kept.until <= now
