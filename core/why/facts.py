"""How things stand around a live job, as far as a reason to wait may lie in them."""

from collections.abc import Sequence

from msgspec import Struct

from ..linking import Outcome
from ..operating import Found
from ..workers import Condition


class Gate(Struct, frozen=True):
    """The limit a blocked job waits for.

    running   jobs that have passed it and count against it; `holders`: some of them
    bound     how many may; None: a rate
    ahead     jobs that wait for it before this one; None: not known
    opens_at  of a rate, when the next job is let in (ms since 1970)
    """

    running: int = 0
    holders: Sequence[str] = ()
    bound: int | None = None
    ahead: int | None = None
    opens_at: int | None = None


class Awaited(Struct, frozen=True):
    """The jobs that one waits for still: how many, and some that did not succeed, each with how.

    open  there may be more of them to come
    """

    count: int
    open: bool = False
    unhappy: Sequence[tuple[str, Outcome]] = ()


class Server(Struct, frozen=True):
    """A worker that serves the job's queue; `busy`: all its slots are taken."""

    name: str
    condition: Condition
    types: Sequence[str]
    busy: bool = False


class Halt(Struct, frozen=True):
    """Why nothing happens in the job's queue: its log was lost.

    since     ms since 1970 when that was noted; None: it was not yet
    end       the position of the last event that is archived, and `until` its time; None: none is
    """

    reason: str
    since: int | None = None
    end: str | None = None
    until: int | None = None


class Facts(Struct, frozen=True):
    """How the job's queue stands. `now`: ms since 1970 by the server's clock.

    queued, running  jobs of the queue that may run, and that run
    concurrency      most jobs of the queue that may run at once; None: no such limit
    rated            starts of the whole queue are limited by a rate
    halt             then there is nothing else to know
    """

    now: int
    mode: Found = "open"
    queued: int = 0
    running: int = 0
    concurrency: int | None = None
    rated: bool = False
    servers: Sequence[Server] = ()
    gate: Gate | None = None
    awaited: Awaited | None = None
    halt: Halt | None = None
