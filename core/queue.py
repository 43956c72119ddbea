"""The typed face of the Lua verbs: what can be done to a queue, each in one atomic step.

No caller counts KEYS and ARGV, and no other module calls a script. Errors: `Unavailable` (the
outcome is not known), `LogLost`, `GroupLost`, `MemoryFull`, `IdTaken`, `QueueDraining`.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from redis import exceptions

from .announcing import Announcing
from .codec import encode
from .connection import call, translated
from .errors import LogLost
from .events import Command, Event, body_of
from .examining import Examining
from .hot import HotJob, Lease, read_job, read_lease
from .ids import code_of
from .keys import Keys, partition_code
from .linking import Linking
from .notes import note
from .operating import Operating
from .progressing import Progressing
from .scripts import Script, script
from .stepping import Stepping
from .subjects import SubjectKeys
from .submitting import NewJob, Receipt, read_receipt, submit_args
from .submitting import new_job as new_job

MAX_BATCH = 1000
"""Most jobs one call handles: Lua can unpack some 8,000 values, and others must get a turn."""

CHEAP_BATCH = 125
"""Jobs of a call that cost the server least each (measured): the objects a script makes for many
more do not fit the processor's cache, and far fewer do not share the cost of the call."""

Verdict = Literal["succeeded", "retry", "failed", "snoozed", "released", "cancelled", "crashed"]


class Claim(NamedTuple):
    """What a claim gave. Times are ms since 1970 by the server's clock; `next_due` 0: none."""

    now: int
    next_due: int
    leases: list[Lease]


class Finish(NamedTuple):
    """A verdict on a leased job. `body` and `end` as in finish.lua."""

    id: str
    fence: int
    verdict: Verdict
    body: bytes
    delay_ms: int = 0
    end: bytes = b""


class Redrive(NamedTuple):
    """A job that ended, to run again: `version` is that of its last event; `delay_ms`: not yet."""

    id: str
    priority: int
    version: int
    spec: bytes
    delay_ms: int = 0


def _text(value: bytes) -> str:
    return value.decode()


class PartitionQueue(Operating, Stepping, Progressing, Announcing, Linking, Examining):
    """All verbs of one partition, over one client for commands.

    `on_awaited` is called with the partition when a job was finished that others wait for.
    """

    __slots__ = ("_base", "_keys", "_last", "_redis", "on_awaited", "partition")

    def __init__(self, redis: Any, partition: str, keys: Keys) -> None:
        self.partition = partition
        self._redis = redis
        self._keys = keys
        self._base = keys.base(partition)
        self.on_awaited: Callable[[str], None] | None = None
        self._last = (0, 0)

    async def submit(self, jobs: Sequence[NewJob], command: str | None = None) -> Receipt:
        """Accept all of `jobs` or none.

        The same `command` may be sent again while the outcome is unknown: it is done once.
        """
        command = command or uuid.uuid4().hex
        last = self._last
        receipt = read_receipt(
            self.partition, await self._run("submit", submit_args(command, jobs))
        )
        made = len(jobs) - len(receipt.duplicates)
        if made and not receipt.again:
            await self._check_forward(receipt, last)
            self._last = max(self._last, (receipt.epoch, receipt.first_seq + made - 1))
        return receipt

    async def _check_forward(self, receipt: Receipt, last: tuple[int, int]) -> None:
        """Halt the queue if its log gave a position that was given before this was asked for.

        Raises LogLost: what was accepted may be lost, too.
        """
        found = receipt.epoch, receipt.first_seq
        if found <= last:
            reason = (
                f"the log of {self.partition} has gone back: expected a position after seq"
                f" {last[1]} of epoch {last[0]}, got: seq {found[1]} of epoch {found[0]}"
            )
            await self.condemn(reason)
            raise LogLost(reason)

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> Claim:
        """Lease up to `limit` jobs to `worker`; with `held`, those it holds already."""
        args = [worker, limit if held else min(limit, MAX_BATCH), int(held)]
        now, next_due, ids, states, epoch = await self._run("claim", args)
        partition, in_epoch = self.partition, int(epoch)
        leases = [
            read_lease(partition, job.decode(), raw, now, in_epoch)
            for job, raw in zip(ids, states, strict=True)
        ]
        return Claim(now, next_due, leases)

    async def finish(self, verdicts: Sequence[Finish]) -> list[bool]:
        """Say what became of leased jobs; True where the lease was still good.

        More than `MAX_BATCH` are not one step: when it fails, the first of them may be done.
        """
        accepted: list[bool] = []
        for first in range(0, len(verdicts), MAX_BATCH):
            args = finish_args(verdicts[first : first + MAX_BATCH])
            replies = await self._run("finish", args)
            accepted += [reply > 0 for reply in replies]
            if self.on_awaited is not None and 2 in replies:
                self.on_awaited(self.partition)
        return accepted

    async def reap(
        self, lease_ms: int, max_crashes: int, limit: int = 200, away_ms: int = 0
    ) -> tuple[int, bool]:
        """Take expired leases back: how many, and whether there may be more.

        `away_ms`: after so long without a sweep nobody could renew, and none is taken for a lease.
        """
        reaped, more = await self._run("reap", [lease_ms, max_crashes, limit, away_ms])
        return reaped, more == 1

    async def promote(self, limit: int = MAX_BATCH) -> tuple[int, int]:
        """Queue the jobs whose time has come: how many, and when the next is due (0: none)."""
        promoted, next_due = await self._run("promote", [limit])
        return promoted, next_due

    async def cancel(self, ids: Sequence[str], by: Command) -> list[str]:
        """Cancel jobs; per job: cancelled, requested, pending or missing (see cancel.lua)."""
        return [_text(reply) for reply in await self._run("cancel", [body_of(by), *ids])]

    async def redrive(self, jobs: Sequence[Redrive], by: Command) -> list[str]:
        """Run ended jobs again; per job: queued, scheduled, live or stale (see redrive.lua)."""
        args: list[Any] = [body_of(by)]
        for job in jobs:
            args += job
        return [_text(reply) for reply in await self._run("redrive", args)]

    async def configure(self, by: Event, bounds: Mapping[str, str]) -> None:
        """Change limits: field → bound as in configure.lua; '' takes one away."""
        args: list[Any] = [body_of(by)]
        for pair in bounds.items():
            args += pair
        await self._run("configure", args)

    async def limits(self) -> dict[str, str]:
        """The limits in force: field → bound as in configure.lua; '-': none any more."""
        with translated():
            found = await self._redis.hgetall(self._keys.limits(self.partition))
        return {_text(field): _text(bound) for field, bound in found.items()}

    async def condemn(self, reason: str) -> bool:
        """Halt it, for its log was lost or went back; False if it was halted (see condemn.lua)."""
        return await self._run("condemn", [reason]) == 1

    async def mend(self) -> int:
        """Make lost consumer groups again; how many jobs were entered anew."""
        return await self._run("mend", [])

    async def trim(self, archived: int, epoch: int, entry: str = "") -> int:
        """Note how far the archive is, and cut the log off below `entry`."""
        return await self._run("trim", [archived, epoch, entry])

    async def job(self, job: str) -> HotJob | None:
        """The hot state of a job; None if no such job lives."""
        with translated():
            raw = await self._redis.get(self._keys.job(self.partition, job))
        return None if raw is None else read_job(job, raw)

    async def ring(self) -> None:
        """Hand a wake-up on to another worker."""
        with translated():
            bell = self._keys.bell(self.partition)
            # In one step: two that ring at once must not leave two tokens.
            pipeline = self._redis.pipeline(transaction=True)
            await pipeline.rpush(bell, b"1").ltrim(bell, 0, 0).execute()

    async def _run(self, verb: str, args: list[Any]) -> Any:
        loaded = script(verb)
        with translated():
            try:
                return await self._evalsha(loaded, args)
            except exceptions.NoScriptError:
                # Nothing was done: the server does not know the script (it was restarted).
                await self._redis.script_load(loaded.source)
                return await self._evalsha(loaded, args)

    def _evalsha(self, loaded: Script, args: list[Any]) -> Any:
        return call(self._redis, "EVALSHA", loaded.sha, 1, self._base, *args)


def finish_args(verdicts: Iterable[Finish]) -> list[Any]:
    """Arguments of finish.lua."""
    args: list[Any] = []
    for job, fence, verdict, body, delay_ms, end in verdicts:
        args += (job, fence, verdict, delay_ms, body, end)
    return args


class Directory:
    """Which partitions there are, and which job types workers announced."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._known: dict[str, PartitionQueue] = {}

    def queue(self, partition: str) -> PartitionQueue:
        """The verbs of a partition, whether it was used before or not."""
        found = self._known.get(partition)
        if found is None:
            found = self._known[partition] = PartitionQueue(self._redis, partition, self._keys)
        return found

    def subject_keys(self) -> SubjectKeys:
        """The keys of persons that jobs are about."""
        return SubjectKeys(self._redis, self._keys)

    async def register(self, partition: str) -> None:
        """Make a partition known to all; needed once, before its first event."""
        with translated():
            await call(self._redis, *note("SADD", self._keys.queues, partition))

    async def link(self, partition: str) -> None:
        """Make it known that jobs there wait for others, or are waited for."""
        with translated():
            await call(self._redis, *note("SADD", self._keys.linked, partition))

    async def linked(self) -> list[str]:
        """The partitions of which that is known, sorted."""
        with translated():
            return sorted(_text(name) for name in await self._redis.smembers(self._keys.linked))

    async def has(self, partition: str) -> bool:
        """Whether a partition was ever registered."""
        with translated():
            return bool(await self._redis.sismember(self._keys.queues, partition))

    async def partitions(self) -> list[str]:
        """All partitions ever registered, sorted."""
        with translated():
            return sorted(_text(name) for name in await self._redis.smembers(self._keys.queues))

    async def partitions_of(self, job: str) -> list[str]:
        """The partitions a job of that id can live in; more than one only if codes collide."""
        code = code_of(job)
        return [name for name in await self.partitions() if partition_code(name) == code]

    async def announce_types(self, types: Mapping[str, Any]) -> None:
        """Note the defaults (any JSON value) of job types, for whoever submits."""
        if types:
            with translated():
                pairs = [part for name, told in types.items() for part in (name, encode(told))]
                await call(self._redis, *note("HSET", self._keys.types, *pairs))

    async def types(self) -> dict[str, bytes]:
        """All announced job types with their defaults (JSON)."""
        with translated():
            found = await self._redis.hgetall(self._keys.types)
        return {_text(name): defaults for name, defaults in found.items()}

    async def types_of(self, partition: str) -> set[str]:
        """The job types workers of this partition ever announced."""
        with translated():
            return {
                _text(name) for name in await self._redis.hkeys(self._keys.announced(partition))
            }
