"""Audits what handlers did, by their own notes, against what events tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from millstream.core import events as ev
from millstream.core.audits.report import Report

SAID = "json"
"""Codec of results that are there to be read."""


class Note(msgspec.Struct, frozen=True):
    """What a handler did, written down before it went on. `what`: began, step or done.

    fence  of the lease it had; time: seconds since 1970
    """

    job: str
    fence: int
    what: str
    step: str = ""
    time: float = 0.0


class _Done(msgspec.Struct, frozen=True):
    """The result of a handler that takes notes."""

    fence: int


def read_notes(folder: Path) -> list[Note]:
    """The notes of all processes; a line that its writer's death cut off is none."""
    found: list[Note] = []
    for file in sorted(folder.glob("notes-*.jsonl")):
        for line in file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                found.append(msgspec.json.decode(line, type=Note))
    return found


class Effects:
    """Every run had a lease, every lease at most one run; no step was done again once it was kept.

    What handlers did is only compared for jobs of types that begin with `prefix`.

    ran_again   jobs whose handlers began more than once
    done_again  jobs whose handlers came to their end more than once
    """

    def __init__(self, notes: Iterable[Note], prefix: str) -> None:
        self._prefix = prefix
        self._began: Counter[tuple[str, int]] = Counter()
        self._done: set[tuple[str, int]] = set()
        self._steps: dict[str, list[Note]] = {}
        self._types: dict[str, str] = {}
        self._lease: dict[str, int] = {}
        self._leases: set[tuple[str, int]] = set()
        self._kept: dict[str, list[tuple[str, int, int]]] = {}
        self._life: dict[str, int] = {}
        self.ran_again = 0
        self.done_again = 0
        for note in notes:
            self._take_note(note)

    def _take_note(self, note: Note) -> None:
        if note.what == "began":
            self._began[note.job, note.fence] += 1
        elif note.what == "done":
            self._done.add((note.job, note.fence))
        else:
            self._steps.setdefault(note.job, []).append(note)

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event."""
        job = record.job
        match event:
            case ev.JobSubmitted():
                self._types[job] = event.type
                self._life[job] = record.version
            case ev.JobRedriven():
                self._life[job] = record.version
            case ev.JobStarted():
                self._lease[job] = record.version
                self._leases.add((job, record.version))
            case ev.JobCheckpointed(wake_at=None, job_id=None):
                begun = self._life.get(job, 0)
                self._kept.setdefault(job, []).append((event.step, begun, record.version))
            case ev.JobSucceeded() if self._types.get(job, "").startswith(self._prefix):
                self._check_result(record, event, report)
            case _:
                pass

    def _check_result(self, record: ev.Record, event: ev.JobSucceeded, report: Report) -> None:
        if event.result.codec != SAID:
            return  # encrypted: nobody but its readers can tell
        fence = self._lease.get(record.job)
        told = event.result.decode(_Done).fence
        if told != fence:
            report.add("stale-result", record.position, f"expected lease {fence}, got {told}")
        elif (record.job, told) not in self._done:
            report.add("succeeded-undone", record.position, "expected its handler to have ended")

    def close(self, report: Report) -> None:
        """Audit the whole."""
        for (job, fence), count in self._began.items():
            if count > 1:
                report.add("run-twice", job, f"expected one run under lease {fence}, got {count}")
            if (job, fence) not in self._leases:
                report.add("run-without-lease", job, f"expected a lease {fence} in the log")
        for job, kept in self._kept.items():
            self._check_steps(job, kept, report)
        runs = Counter(job for job, _ in self._began)
        self.ran_again = sum(count > 1 for count in runs.values())
        done = Counter(job for job, _ in self._done)
        self.done_again = sum(count > 1 for count in done.values())

    def _check_steps(self, job: str, kept: list[tuple[str, int, int]], report: Report) -> None:
        lives = sorted({begun for _, begun, _ in kept} | {self._life[job]})
        for step, begun, version in kept:
            later = [life for life in lives if life > begun]
            until = later[0] if later else None
            for note in self._steps.get(job, ()):
                same = note.step == step and (until is None or note.fence < until)
                if same and note.fence > version:
                    detail = f"step {step!r} was kept by {version}, and done by {note.fence}"
                    report.add("step-again", job, detail)
