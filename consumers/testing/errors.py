"""What a test is told that expects of a sandbox what it cannot do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from ...core.errors import MillstreamError

MOST_NAMED = 10


class SandboxError(MillstreamError):
    """Something the sandbox was given or asked that cannot be: says what was expected."""


class StillRunning(SandboxError):
    """Handlers that do not come to an end by themselves, in real time."""

    def __init__(self, patience: float, jobs: Collection[str]) -> None:
        super().__init__(
            f"expected every handler to end within {patience:g} s of real time,"
            f" {_named(jobs)} still running: give it what it waits for, cancel() it,"
            f" advance() past its timeout, or give the sandbox more patience="
        )


class NeverQuiet(SandboxError):
    """Work that makes more work without end."""

    def __init__(self, attempts: int, types: Iterable[str]) -> None:
        super().__init__(
            f"expected run() to come to an end, after {attempts} attempts there is more to run:"
            f" {_named(sorted(types))} last. A job that retries, snoozes or submits others without"
            f" any wait never ends; most= allows for more attempts"
        )


class Leftover(SandboxError):
    """Jobs that have not ended when a strict sandbox does."""

    def __init__(self, jobs: Collection[str]) -> None:
        super().__init__(f"expected every job to have ended, got {_named(jobs)}")


class NeverCrashed(SandboxError):
    """A worker that was to die, and did not: the test would show nothing."""

    def __init__(self, job: str, step: str, done: Collection[str]) -> None:
        asked, awaited = "crash", "a worker to take it"
        if step:
            asked, awaited = f"crash(after={step!r})", f"it to keep step {step!r} from then on"
        kept = ", ".join(map(repr, list(done)[:MOST_NAMED])) or "none"
        super().__init__(
            f"{asked} of job {job}: expected {awaited}, it never did; its steps: {kept}"
        )


def unknown_type(type: str, known: Iterable[str]) -> SandboxError:
    """Nobody could run such a job."""
    names = sorted(known)
    close = difflib.get_close_matches(type, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return SandboxError(
        f"submit: expected a type that has a handler here ({_named(names) or 'there is none'}),"
        f" or one named in elsewhere=, got {type!r}{hint}"
    )


def _named(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:MOST_NAMED])
    return shown + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
