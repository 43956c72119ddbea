"""The heads of all partitions, checked: signatures, chain, leaves."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from ..audits.findings import Findings
from .heads import FIRST, SignedHead
from .merkle import SIZE, root
from .signing import PublicKeys


class Segment(msgspec.Struct):
    """A segment as its head tells it. `leaves`: b"" where they are not known.
    `trusted`: nothing speaks against the signature."""

    signed: SignedHead
    leaves: bytes = b""
    trusted: bool = True

    @property
    def name(self) -> str:
        """For people."""
        head = self.signed.head
        return f"{head.partition}#{head.number} ({head.epoch}:{head.first}-{head.last})"

    def leaf(self, seq: int) -> bytes:
        """The hash of one of its events; `leaves` must be known."""
        at = (seq - self.signed.head.first) * SIZE
        return self.leaves[at : at + SIZE]


class Chain:
    """The segments of one partition in order."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self._firsts = [(one.signed.head.epoch, one.signed.head.first) for one in segments]

    @property
    def end(self) -> tuple[int, int]:
        """Epoch and seq of the last sealed event."""
        head = self.segments[-1].signed.head
        return head.epoch, head.last

    def find(self, epoch: int, seq: int) -> int | None:
        """Which segment an event belongs to; None if it is in none."""
        at = bisect_right(self._firsts, (epoch, seq)) - 1
        if at < 0:
            return None
        head = self.segments[at].signed.head
        return at if head.epoch == epoch and seq <= head.last else None


def read_chains(
    heads: Iterable[SignedHead], keys: PublicKeys | None, found: Findings
) -> dict[str, Chain]:
    """The chains by partition; what is wrong with them goes to `found`.

    The same head may be given several times. `keys`: None if signatures are not to be checked.
    """
    known: dict[tuple[str, int], Segment] = {}
    for signed in heads:
        key = signed.head.partition, signed.head.number
        before = known.get(key)
        if before is None:
            known[key] = Segment(signed)
        elif before.signed.head != signed.head:
            found.add("forked", before.name, "expected one head of this number, got two")
            known[key].trusted = False
        _take_leaves(known[key], signed, found)
    chains: dict[str, list[Segment]] = {}
    for (partition, _), segment in sorted(known.items()):
        if keys is not None and (reason := keys.verify(segment.signed)) is not None:
            found.add("forged", segment.name, reason)
            segment.trusted = False
        chains.setdefault(partition, []).append(segment)
    for segments in chains.values():
        _check_chain(segments, found)
    return {partition: Chain(segments) for partition, segments in chains.items()}


def _take_leaves(segment: Segment, signed: SignedHead, found: Findings) -> None:
    if not signed.leaves or segment.leaves:
        return
    leaves = [signed.leaves[at : at + SIZE] for at in range(0, len(signed.leaves), SIZE)]
    head = segment.signed.head
    if len(leaves) == head.size and root(leaves) == head.root:
        segment.leaves = signed.leaves
    else:
        found.add("leaves-altered", segment.name, "the hashes of its events do not give its root")


def _check_chain(segments: list[Segment], found: Findings) -> None:
    head = segments[0].signed.head
    if head.number == 1 and head.previous != FIRST:
        found.add("unchained", segments[0].name, "expected the first head to name none before it")
    for before, after in pairwise(segments):
        old, new = before.signed.head, after.signed.head
        if new.number != old.number + 1:
            missing = f"expected number {old.number + 1}, got {new.number}"
            found.add("head-missing", after.name, missing)
        elif new.previous != old.digest():
            found.add("unchained", after.name, f"it does not name the head before, {before.name}")
        if (new.epoch, new.first) <= (old.epoch, old.last):
            found.add("unchained", after.name, f"it begins before the end of {before.name}")
