"""What a run came to, for people: what was done to the system, and what ran again, and why."""

from __future__ import annotations

from collections import Counter

from millstream.core.audits.report import Report

from .judgement import Result


def told(result: Result) -> str:
    """Some lines."""
    report, effects = result.report, result.effects
    faults = Counter(f"{one.fault.kind} {one.fault.target}" for one in result.injuries)
    exits = Counter(f"{one.role} ended with {one.code}" for one in result.exits)
    lines = [
        "",
        f"{report.events} events of {len(report.jobs)} jobs, by end:",
        *_counts(_ends(report)),
        f"{len(result.injuries)} faults:",
        *_counts(faults),
        "roles that ended and were started again:",
        *_counts(exits),
        "operations as clients saw them end:",
        *_counts(result.operations),
        f"{len(report.reruns)} jobs were started more than once, for these reasons:",
        *_counts(report.causes),
        "what had happened before a lease expired:",
        *_counts(result.expired_of),
        f"{effects.ran_again} handlers began more than once; of {effects.done_again} jobs the"
        " handler came to its end more than once",
        "jobs that ended as poison, by kind:",
        *_counts(result.poisoned),
        f"{result.stuck} times /audit named jobs that were stuck at that moment",
        f"{len(report.violations)} violations",
        *(f"  {violation}" for violation in report.violations[:100]),
    ]
    return "\n".join(lines)


def _ends(report: Report) -> Counter[str]:
    return Counter(job.failure or job.state.value for job in report.jobs.values())


def _counts(counter: Counter[str]) -> list[str]:
    return [f"  {count:8}  {what}" for what, count in counter.most_common()]
