"""What callers ask for: jobs of a kind, and verdicts with bodies that fit them."""

from __future__ import annotations

from typing import NamedTuple

from millstream.core import events as ev
from millstream.core.queue import NewJob, Verdict
from tests.core.verbs.mill import BODIES, FAULT

from .commands import Given, New, Said
from .locks import Lock
from .world import MINUTE


class Spec(NamedTuple):
    """What is submitted: minutes of its delay, of its run time from now on, and of its expiry."""

    priority: int
    key: str | None = None
    lock: Lock | None = None
    delay: int | None = None
    run_at: int | None = None
    expires: int | None = None


class Sent(NamedTuple):
    """A submission, as it can be sent again."""

    command: str
    news: list[New]
    reals: list[NewJob]


def said(lease: Given, verdict: Verdict, delay: int = 0, off: int = 0) -> Said:
    """A verdict with a body that fits it, on a fence that is `off` the lease's."""
    event, ms = BODIES[verdict], delay * MINUTE
    if verdict == "retry":
        event = ev.JobAttemptFailed(FAULT, ms)
    elif verdict == "snoozed":
        event = ev.JobSnoozed(ms)
    elif verdict == "released":
        event = ev.JobReleased("drain", ms)
    body, end = ev.body_of(event), b""
    if verdict == "failed":
        end = ev.body_of(ev.JobFailed("exhausted"))
        body = body if delay else b""  # it may fail without a failed attempt
    return Said(lease.id, lease.fence + off, verdict, delay, body, end)
