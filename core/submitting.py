"""What the verb `submit` is given, and what it answers: jobs, their locks, and where they stand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .events import JobSubmitted, body_of, position
from .hot import STATES
from .jobs import JobState

COMMAND_KEPT_MS = 600_000
"""How long a submission is remembered so that sending it again changes nothing."""

Scope = Literal["waiting", "unfinished", "period"]
Policy = Literal["keep", "replace"]


class NewJob(NamedTuple):
    """A job to submit: its id, its spec, and the spec encoded once.

    policy  what becomes of a waiting job that holds the lock of the spec: it is kept as it is, or
            given this spec
    once    a further lock, of the request and not of the job: digest and ms
    ended   how those of the jobs it depends on ended that are known to have: id → outcome, or `?`
            for what is to be found out
    before  jobs that wait for it; with a `*` behind those that do so also once it did not succeed
    """

    id: str
    spec: JobSubmitted
    body: bytes
    policy: Policy = "keep"
    once: tuple[str, int] | None = None
    ended: Mapping[str, str] = {}
    before: Sequence[str] = ()


class Duplicate(NamedTuple):
    """A job that was not made, since another stands for it.

    number    of the job that was submitted, from 0
    id        the job that stands for it
    epoch, seq  where the spec of that one stands
    state     of that one; None: it has ended
    """

    number: int
    id: str
    epoch: int
    seq: int
    state: JobState | None


class Stand(NamedTuple):
    """What became of one job: the id it has now, where its spec stands, whose duplicate it is."""

    id: str
    position: str
    duplicate: Duplicate | None = None


class Receipt(NamedTuple):
    """Where accepted jobs stand in the log: those made have seq `first_seq` and so on, in order.

    `again` tells that the same command was accepted before.
    """

    partition: str
    epoch: int
    first_seq: int
    again: bool
    duplicates: tuple[Duplicate, ...] = ()

    def position(self, index: int) -> str:
        """Position of the spec of the job at `index`."""
        before = 0
        for twin in self.duplicates:
            if twin.number == index:
                return position(self.partition, twin.epoch, twin.seq)
            before += twin.number < index
        return position(self.partition, self.epoch, self.first_seq + index - before)

    def stands(self, ids: Iterable[str]) -> list[Stand]:
        """What became of each of the jobs, given the ids they were submitted with."""
        partition, epoch, seq, _, duplicates = self
        if not duplicates:
            return [Stand(id, position(partition, epoch, seq + n)) for n, id in enumerate(ids)]
        twins = {twin.number: twin for twin in duplicates}
        found: list[Stand] = []
        for index, id in enumerate(ids):
            twin = twins.get(index)
            if twin is not None:
                found.append(Stand(twin.id, position(partition, twin.epoch, twin.seq), twin))
            else:
                found.append(Stand(id, position(partition, epoch, seq)))
                seq += 1
        return found


def new_job(job: str, spec: JobSubmitted) -> NewJob:
    """Prepare a job for submission."""
    return NewJob(job, spec, body_of(spec))


def submit_args(command: str, jobs: Iterable[NewJob]) -> list[Any]:
    """Arguments of submit.lua."""
    args: list[Any] = [command, COMMAND_KEPT_MS, 0]
    locks: list[Any] = []
    count = 0
    for count, made in enumerate(jobs, 1):
        job, spec, body, policy, once, ended, before = made
        due: object = 0
        if spec.delay_ms is not None:
            due = f"+{spec.delay_ms}"
        elif spec.run_at is not None:
            due = spec.run_at or "-0"  # '0' would say that it has no run time
        args += (job, spec.priority, due, spec.expires_at or 0, body)
        if once is not None:
            # First: a request sent again must not replace what the first one made.
            locks += (count, once[0], "period", once[1], "keep")
        if spec.lock is not None:
            scope = spec.lock_scope or "unfinished"
            locks += (count, spec.lock, scope, spec.lock_ms or 0, policy)
        for parent in spec.depends_on:
            locks += (count, parent, "after", ended.get(parent, ""), "")
        if spec.open:
            locks += (count, "", "open", "", "")
        for dependent in before:
            locks += (count, dependent, "before", "", "")
    args[2] = count
    return args + locks


def read_receipt(partition: str, reply: tuple[bytes, int, int, bytes]) -> Receipt:
    """The reply of submit.lua."""
    epoch, first, again, told = reply
    if not told:
        return Receipt(partition, int(epoch), first, again == 1)
    lines = (line.split(" ") for line in told.decode().split("\n"))
    duplicates = tuple(
        Duplicate(int(index), id, int(epoch), int(seq), STATES.get(int(state)))
        for index, id, epoch, seq, state in lines
    )
    return Receipt(partition, int(epoch), first, again == 1, duplicates)
