"""One attempt at one job: the value that passes through the executor's steps."""

import asyncio
import time
from enum import StrEnum
from typing import Any

import msgspec

from ..core.encryption import SubjectKey
from ..core.events import JobSubmitted
from ..core.hot import Lease
from .context import Context
from .handlers import Handler


class Stop(StrEnum):
    """Why an attempt was told to stop."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


class Attempt(msgspec.Struct, eq=False):
    """A lease, and what is known of its run.

    since     when the lease was given, `time.monotonic`
    key       of the subject the job is about: what comes of it is encrypted
    task      the task that runs its handler, only while an async handler runs
    stop      why it is to stop
    apart     it runs in a process of its own
    ended     its handler has returned or raised in a thread
    settled   its verdict was given (or will never be): whatever else comes is dropped
    """

    lease: Lease
    since: float
    spec: JobSubmitted | None = None
    handler: Handler | None = None
    context: Context | None = None
    payload: Any = None
    key: SubjectKey | None = None
    task: asyncio.Task[None] | None = None
    stop: Stop | None = None
    in_thread: bool = False
    apart: bool = False
    ended: bool = False
    settled: bool = False

    def now(self) -> float:
        """The server's time (ms since 1970): that of the claim, and what has passed since."""
        return self.lease.now + (time.monotonic() - self.since) * 1000
