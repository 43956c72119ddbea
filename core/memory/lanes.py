"""Jobs that may run, by priority, and the leases on those that were given to workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Entry:
    """A job's place in its lane. Times are ms since 1970.

    at      when it entered
    given   to a worker: its job is running
    owner   who holds the lease; None if it was not given, or the group is lost
    since   of the last claim or renewal
    """

    job: str
    at: int = 0
    given: bool = False
    owner: str | None = None
    since: int = 0


@dataclass
class Lane:
    """Entries in the order they came; those given stand before the others, always."""

    entries: list[Entry] = field(default_factory=list)
    lost: bool = False
    """Its consumer group is gone."""

    def waiting(self) -> list[Entry]:
        """What nobody was given."""
        return [entry for entry in self.entries if not entry.given]

    def leased(self) -> list[Entry]:
        """What is known to be given: nothing in a lane whose group is lost."""
        return [entry for entry in self.entries if entry.given and not self.lost]

    def held(self, worker: str) -> list[Entry]:
        """What a worker was given."""
        return [entry for entry in self.entries if entry.owner == worker]

    def silent(self, now: int, lease_ms: int) -> list[Entry]:
        """Entries whose owner was not heard of for so long."""
        return [one for one in self.entries if one.owner and now - one.since >= lease_ms]

    def lose(self) -> None:
        """The consumer group is lost, and with it who held what."""
        self.lost = True
        for entry in self.entries:
            entry.owner = None


@dataclass
class Lanes:
    """One lane per priority, made at its first use."""

    lanes: dict[int, Lane] = field(default_factory=dict)

    def enter(self, priority: int, job: str, at: int) -> None:
        """Put a job behind all others of its priority."""
        self.lanes.setdefault(priority, Lane()).entries.append(Entry(job, at))

    def leave(self, priority: int, job: str) -> None:
        """Take a job away, given or not."""
        self.lanes[priority].entries.remove(self.entry(priority, job))

    def entry(self, priority: int, job: str) -> Entry:
        """The place of a job."""
        return next(one for one in self.lanes[priority].entries if one.job == job)

    def in_order(self) -> Iterator[tuple[int, Lane]]:
        """Lanes as claims serve them."""
        for priority in sorted(self.lanes):
            yield priority, self.lanes[priority]
