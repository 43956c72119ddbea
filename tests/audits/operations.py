"""Audits what clients asked for, and what they were told, against what events tell of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from millstream.core import events as ev
from millstream.core.audits.report import Report

Phase = Literal["invoked", "ok", "failed", "unknown"]


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of what clients recorded: something was asked for, or answered.

    op      number of the request; one that is sent again keeps it
    what    submit; cancel, retry: what an operator asked of one job; bulk: of many
    phase   invoked, or how it ended: ok, failed (nothing was done), unknown
    jobs    ids that were told (of a submission, in the order of the jobs), or asked about
    keyed   it had an idempotency key: however often it is sent, it is done once
    count   of bulk: how many were changed, as the answer says
    time    seconds since 1970
    """

    op: int
    what: str
    phase: Phase
    jobs: Sequence[str] = ()
    keyed: bool = False
    count: int = 0
    detail: str = ""
    time: float = 0.0


class Operations:
    """Each acknowledged operation is in the log, done once; nothing is there that nobody asked for.

    A job that was submitted says in its metadata by which operation (`op`) and as which of its jobs
    (`place`), or by which job (`parent`, `place`). An operator's events name the actor `op-<op>`.
    """

    def __init__(self, lines: Iterable[Operation]) -> None:
        self.lines = list(lines)
        self._made: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._jobs: set[str] = set()
        self._cancels: set[str] = set()
        self._acts: defaultdict[str, list[str]] = defaultdict(list)

    @property
    def counts(self) -> Counter[str]:
        """What was asked for and how it ended → how often."""
        return Counter(f"{one.what} {one.phase}" for one in self.lines if one.phase != "invoked")

    @property
    def acknowledged(self) -> list[str]:
        """Jobs whose submission was answered."""
        return [
            job
            for line in self.lines
            if line.what == "submit" and line.phase == "ok"
            for job in line.jobs
        ]

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event."""
        match event:
            case ev.JobSubmitted():
                made = event.metadata
                replaced = type(event) is ev.JobReplaced
                if not replaced and "place" in made:
                    origin = made.get("op") or made.get("parent") or ""
                    self._made[origin, made["place"]].append(record.job)
                    self._jobs.add(record.job)
                elif not replaced and event.schedule is None:
                    report.add("uncalled", record.position, "expected to know who submitted it")
            case ev.JobCancelRequested() | ev.JobCancelled():
                self._cancels.add(record.job)
                self._act(event.actor, record)
            case ev.Command():
                self._act(event.actor, record)
            case _:
                pass

    def _act(self, actor: str, record: ev.Record) -> None:
        if actor.startswith("op-"):
            self._acts[actor].append(record.job)

    def close(self, report: Report) -> None:
        """Audit the whole."""
        invoked: set[int] = set()
        told: dict[int, Operation] = {}
        phases: defaultdict[int, Counter[Phase]] = defaultdict(Counter)
        for line in self.lines:
            phases[line.op][line.phase] += 1
            if line.phase == "invoked":
                invoked.add(line.op)
            elif line.phase == "ok":
                before = told.setdefault(line.op, line)
                if line.what == "submit" and list(before.jobs) != list(line.jobs):
                    detail = f"expected {list(before.jobs)} again, got {list(line.jobs)}"
                    report.add("reply-changed", f"operation {line.op}", detail)
                if line.what == "submit":
                    self._acknowledged(line, report)
        self._check_origins(invoked, report)
        for line in told.values():
            if line.what != "submit":
                self._check_act(line, report)
        self._check_failed(phases, told, report)

    def _acknowledged(self, line: Operation, report: Report) -> None:
        for job in line.jobs:
            if job not in self._jobs:
                detail = f"operation {line.op} was told that it was submitted"
                report.add("acknowledged-lost", job, detail)

    def _check_origins(self, invoked: set[int], report: Report) -> None:
        for (origin, place), jobs in self._made.items():
            if len(jobs) > 1:
                detail = f"expected one job {place} of {origin}, got {jobs}"
                report.add("submitted-again", jobs[1], detail)
            known = origin in self._jobs if "-" in origin else int(origin) in invoked
            if not known:
                report.add("uncalled", jobs[0], f"expected to know its origin {origin!r}")

    def _check_act(self, line: Operation, report: Report) -> None:
        done = self._acts[f"op-{line.op}"]
        where = f"operation {line.op}"
        if line.what == "cancel" and line.jobs[0] not in self._cancels:
            report.add("command-lost", where, f"expected job {line.jobs[0]} to be cancelled")
        elif line.what == "retry" and done != list(line.jobs):
            report.add("command-lost", where, f"expected {list(line.jobs)} redriven, got {done}")
        elif line.what == "bulk" and len(done) != line.count:
            report.add("command-lost", where, f"expected {line.count} jobs, got {len(done)}")

    def _check_failed(
        self,
        phases: defaultdict[int, Counter[Phase]],
        told: dict[int, Operation],
        report: Report,
    ) -> None:
        """Of an operation that was told it failed, nothing was done.

        Unless it was sent before without an answer: a refusal is of the later request alone, and
        the earlier one may still be on its way.
        """
        submitted = {origin for origin, _ in self._made}
        for op, counts in phases.items():
            sure = counts["failed"] and not counts["unknown"] and op not in told
            if sure and (str(op) in submitted or self._acts.get(f"op-{op}")):
                report.add("failed-done", f"operation {op}", "expected nothing of it")
        for actor, jobs in self._acts.items():
            if len(jobs) != len(set(jobs)):
                report.add("command-doubled", actor, f"expected each job once, got {jobs}")
