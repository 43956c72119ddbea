"""What a run over more events than fit into memory found."""

from collections import Counter

import msgspec

MOST = 1000
"""Most findings that are kept of one run; more are counted."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it must be: its kind, where (a position, a segment), and how."""

    kind: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.where}: {self.detail}"


class Findings:
    """Findings of one run, the first of them kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, where: str, detail: str) -> None:
        """Note one."""
        self.counts[kind] += 1
        if len(self.kept) < MOST:
            self.kept.append(Finding(kind, where, detail))
