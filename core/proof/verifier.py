"""Holds events against the heads that were made of them. Needs no server: records in, verdict out.

Memory is bounded: of a segment whose events have all come nothing is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from ..audits.findings import Finding, Findings
from ..events import Record
from .chains import Chain, Segment, read_chains
from .heads import Head, SignedHead, event_hash
from .merkle import root
from .signing import PublicKeys

MOST_OPEN = 64
"""Segments with events missing that may still come; of more, the first is judged as it is."""

Place = tuple[int, int]
"""Epoch and seq."""


class Span(NamedTuple):
    """What is said to be there of a partition: from which event to which, both included."""

    first: Place
    last: Place


class Drops(NamedTuple):
    """What is said to have been dropped for its age.

    ranges  partition → from which seq to which, both included
    before  partition (`*`: any other) → of segments sealed after this (ms since 1970) it is not
            believed; of a partition that is not in it, it never is. None: it is of all
    """

    ranges: Mapping[str, Sequence[tuple[int, int]]] = MappingProxyType({})
    before: Mapping[str, int] | None = None

    def of(self, head: Head) -> set[int]:
        """The seqs of a segment that may be missing."""
        if self.before is not None:
            before = self.before.get(head.partition, self.before.get("*"))
            if before is None or head.sealed_at > before:
                return set()
        return {
            seq
            for first, last in self.ranges.get(head.partition, ())
            for seq in range(max(first, head.first), min(last, head.last) + 1)
        }


class Verdict(msgspec.Struct):
    """What verifying told.

    events    records that were given
    proved    of those, how many are what was sealed
    unsealed  partition → records that no head covers: after the last one, or before the first
    heads     how many there were
    signed    whether signatures were checked
    counts    kind of finding → how many
    findings  the first of them
    dropped   partition → sealed events that are missing, as the export says, for their age
    """

    events: int
    proved: int
    unsealed: dict[str, int]
    heads: int
    signed: bool
    counts: dict[str, int]
    findings: list[Finding]
    dropped: dict[str, int] = {}

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.counts


class _Tally:
    """What has come of one segment."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.hashes: dict[int, bytes] = {}


class _Progress:
    """Where the records of one partition are."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.highest: Place = (0, 0)
        self.tallies: dict[int, _Tally] = {}
        self.finished: set[int] = set()


class Verifier:
    """Takes records, each partition's in the order they are said to be in.

    keys   whose signatures are believed; None: they are not checked
    whole  every sealed event is expected; False: some of them, as of one job
    spans  partition → what is expected of it, where less than all; no other partition is
    before segments sealed after this (ms since 1970) are not expected; None: all are
    drops  what may be missing
    """

    def __init__(
        self,
        heads: Iterable[SignedHead],
        keys: PublicKeys | None,
        *,
        whole: bool = True,
        spans: Mapping[str, Span] | None = None,
        before: int | None = None,
        drops: Drops | None = None,
    ) -> None:
        self._drops = drops or Drops()
        self._dropped: dict[str, int] = {}
        self._found = Findings()
        self._chains = read_chains(heads, keys, self._found)
        self._signed = keys is not None
        self._whole = whole
        self._spans = spans
        self._before = before
        self._progress = {name: _Progress(chain) for name, chain in self._chains.items()}
        self._events = self._proved = 0
        self._unsealed: dict[str, int] = {}

    def take(self, record: Record) -> None:
        """One more record."""
        self._events += 1
        progress = self._progress.get(record.partition)
        if progress is None:
            self._count_unsealed(record.partition)
            return
        place = record.epoch, record.seq
        index = progress.chain.find(*place)
        late = place < progress.highest
        progress.highest = max(progress.highest, place)
        if index is None:
            self._outside(record, progress.chain)
        elif index in progress.finished:
            self._found.add("inserted", record.position, "another event of that position was there")
        else:
            self._inside(record, progress, index, late=late)

    def close(self) -> Verdict:
        """All records were given."""
        for progress in self._progress.values():
            for index in range(len(progress.chain.segments)):
                if index not in progress.finished:
                    self._finish(index, progress)
        return Verdict(
            self._events,
            self._proved,
            self._unsealed,
            sum(len(chain.segments) for chain in self._chains.values()),
            self._signed,
            dict(self._found.counts),
            self._found.kept,
            self._dropped,
        )

    def _count_unsealed(self, partition: str, count: int = 1) -> None:
        self._unsealed[partition] = self._unsealed.get(partition, 0) + count

    def _outside(self, record: Record, chain: Chain) -> None:
        """An event no segment has room for."""
        first = chain.segments[0].signed.head
        place = record.epoch, record.seq
        if place > chain.end or (first.number > 1 and place < (first.epoch, first.first)):
            self._count_unsealed(record.partition)
        else:
            self._found.add("inserted", record.position, "no segment has it, and later ones do not")

    def _inside(self, record: Record, progress: _Progress, index: int, *, late: bool) -> None:
        tally = progress.tallies.get(index)
        if tally is None:
            tally = progress.tallies[index] = _Tally(progress.chain.segments[index])
        hashed, seq, segment = event_hash(record), record.seq, tally.segment
        if seq in tally.hashes:
            self._found.add("inserted", record.position, "another event of that position was there")
            if segment.leaves and hashed == segment.leaf(seq):
                tally.hashes[seq] = hashed
            return
        if late:
            self._found.add("reordered", record.position, "it comes after events that follow it")
        tally.hashes[seq] = hashed
        if len(tally.hashes) == segment.signed.head.size:
            self._finish(index, progress)
        elif len(progress.tallies) > MOST_OPEN:
            self._finish(min(progress.tallies), progress)

    def _finish(self, index: int, progress: _Progress) -> None:
        """Judge a segment by what has come of it."""
        progress.finished.add(index)
        tally = progress.tallies.pop(index, None) or _Tally(progress.chain.segments[index])
        head = tally.segment.signed.head
        self._compare(tally)
        if self._whole:
            dropped = self._drops.of(head)
            missing = [seq for seq in self._expected(tally.segment) if seq not in tally.hashes]
            gone = len(dropped.intersection(missing))
            if gone:
                self._dropped[head.partition] = self._dropped.get(head.partition, 0) + gone
                missing = [seq for seq in missing if seq not in dropped]
            for first, last in _runs(missing):
                cut = (head.epoch, first) > progress.highest
                self._miss(tally.segment, first, last, cut=cut)

    def _compare(self, tally: _Tally) -> None:
        segment, head = tally.segment, tally.segment.signed.head
        if segment.leaves:
            wrong = [seq for seq, each in tally.hashes.items() if each != segment.leaf(seq)]
            for seq in wrong:
                at = f"{head.partition}:{head.epoch}:{seq}"
                self._found.add("altered", at, f"it is not what was sealed in {segment.name}")
        elif len(tally.hashes) < head.size:
            self._leave_open(tally)
            return
        elif root([tally.hashes[seq] for seq in sorted(tally.hashes)]) == head.root:
            wrong = []
        else:
            why = "one or more of its events are not what was sealed; which, its leaves would tell"
            self._found.add("altered", segment.name, why)
            return
        if segment.trusted:
            self._proved += len(tally.hashes) - len(wrong)

    def _leave_open(self, tally: _Tally) -> None:
        """A part of a segment whose leaves are not known: not covered, if no more was expected."""
        segment, count = tally.segment, len(tally.hashes)
        if not count:
            return
        expected = set(self._expected(segment)) - self._drops.of(segment.signed.head)
        if self._whole and len(expected) < segment.signed.head.size:
            self._count_unsealed(segment.signed.head.partition, count)
        else:
            why = "the hashes of its events are not known, and not all of them are here"
            self._found.add("unprovable", segment.name, why)

    def _expected(self, segment: Segment) -> range:
        """The seqs of a segment that are said to be there."""
        head = segment.signed.head
        if self._before is not None and head.sealed_at > self._before:
            return range(0)
        if self._spans is None:
            return range(head.first, head.last + 1)
        span = self._spans.get(head.partition)
        if span is None or span.last < (head.epoch, head.first):
            return range(0)
        first, last = head.first, head.last
        if span.first > (head.epoch, first):
            first = span.first[1] if span.first[0] == head.epoch else last + 1
        if span.last < (head.epoch, last):
            last = span.last[1]
        return range(first, last + 1)

    def _miss(self, segment: Segment, first: int, last: int, *, cut: bool) -> None:
        head = segment.signed.head
        base = f"{head.partition}:{head.epoch}"
        where = f"{base}:{first}" if first == last else f"{base}:{first}-{last}"
        if cut:
            self._found.add("truncated", where, f"{segment.name} has it, and nothing comes after")
        else:
            self._found.add("deleted", where, f"expected it, {segment.name} has it")


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers, in ascending order, as first and last."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
