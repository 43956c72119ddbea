"""What is given to the verbs, and what a claim gives."""

from __future__ import annotations

from typing import NamedTuple

from millstream.core.jobs import JobState
from millstream.core.queue import Verdict

from .due import Instant
from .locks import Lock


class New(NamedTuple):
    """A job to submit. `delay` in minutes; `expires`: the minute."""

    id: str
    priority: int
    body: bytes
    delay: int | None = None
    run_at: Instant | None = None
    expires: int | None = None
    lock: Lock | None = None


class Twin(NamedTuple):
    """A job that was not made: the one that stands for it, where its spec stands, its state."""

    number: int
    id: str
    seq: int
    state: JobState | None


class Given(NamedTuple):
    """A lease as a claim gives it."""

    id: str
    fence: int
    attempt: int
    crashes: int
    spec: bytes


class Said(NamedTuple):
    """A verdict, `delay` in minutes; `body` and `end` as in finish.lua."""

    id: str
    fence: int
    verdict: Verdict
    delay: int
    body: bytes
    end: bytes


class Ended(NamedTuple):
    """A job to redrive, by the version of the end that somebody read."""

    id: str
    priority: int
    version: int
    spec: bytes
