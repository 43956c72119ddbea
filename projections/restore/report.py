"""What a restore did, and what could not be recovered."""

from collections.abc import Iterable

import msgspec

from ...core.events import position
from .salvage import Dropped

LOST_FOR_GOOD = (
    "Idempotency-Keys and command ids: a request sent again after this may be done twice",
    "how far rates were used up: they begin anew",
    "defaults of job types: workers tell them when they start",
    "places at limits: jobs that waited at one ask for it again, oldest first",
)


class Range(msgspec.Struct, frozen=True):
    """Positions from one to another, both included."""

    first: str
    last: str


class Jobs(msgspec.Struct):
    """How many jobs were made again, in which way.

    released    ran when the log was lost: they are queued, and may run a second time
    ended       had been asked to cancel, or had failed: the event that says so was still to come
    salvaged    have events that were in what was left of the log
    unreadable  could not be made again: their events are parked, or tell no legal life
    """

    queued: int = 0
    waiting: int = 0
    released: list[str] = []
    ended: list[str] = []
    salvaged: list[str] = []
    unreadable: dict[str, str] = {}


class PartitionReport(msgspec.Struct):
    """Of one queue.

    lost           why it counted as lost
    archived       position of the last event that the archive holds
    unrecoverable  positions that were known to have been given, and whose events are nowhere
    after          what was acknowledged later than this and before the loss is lost, too, if it is
                   in no range above: nobody here knows of it
    dropped        events of what was left that are not kept
    """

    partition: str
    lost: str
    archived: str
    epoch: int
    unrecoverable: list[Range]
    after: str
    salvaged: int
    dropped: list[Dropped]
    jobs: Jobs
    schedules: int = 0
    limits: int = 0
    locks: int = 0


class Report(msgspec.Struct):
    """Of all queues.

    fine          those whose log is as the archive expects it
    gaps          positions between the tables and what their log still holds that are in neither:
                  PostgreSQL is an older copy, or a new one
    declared      those gaps were declared: the projector goes on after them
    acknowledged  of the positions that were given as acknowledged, those that are lost
    not_restored  what no restore can bring back
    """

    dry_run: bool
    partitions: list[PartitionReport]
    fine: list[str]
    gaps: list[Range] = []
    declared: bool = False
    acknowledged: list[str] | None = None
    not_restored: tuple[str, ...] = LOST_FOR_GOOD


def ranges(partition: str, epoch: int, seqs: Iterable[int]) -> list[Range]:
    """The unbroken ranges that these seqs, in order, make up."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = found[-1][0], seq
        else:
            found.append((seq, seq))
    return [Range(*(position(partition, epoch, seq) for seq in ends)) for ends in found]
