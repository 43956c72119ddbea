"""Jobs that wait for others to end: the typed face of those verbs.

An edge is first made known where the parent lives, then where the dependent does: so a dependent
that is there will be told. What it is told before it is there is kept for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from .connection import call, translated
from .events import JobClosed, JobExtended, body_of
from .face import Face
from .jobs import JobState

ParentPolicy = Literal["fail", "cancel", "run", "wait"]
Outcome = Literal["succeeded", "failed", "cancelled", "discarded", "missing", "left"]
Extended = Literal["extended", "closed", "missing"]

POLICIES: tuple[str, ...] = get_args(ParentPolicy)
MAX_PARENTS = 1000
"""Jobs that one may say it depends on; the callback of a batch waits for more."""

MAX_DEPENDENTS = 100_000
"""Jobs that may wait for one: the call that ends it notes all of them (0.1 s for so many)."""

Watched = Literal["gone", "lives", "full"]
_WATCHED: tuple[Watched, ...] = get_args(Watched)


_OUTCOMES: dict[str, Outcome] = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def outcome_in(state: str, *, discarded: bool) -> Outcome | None:
    """How a job in this state ended, as those are told that wait for it; None: it lives."""
    return "discarded" if discarded else _OUTCOMES.get(state)


class Ended(NamedTuple):
    """Jobs that ended, and who waits for them, as the outbox has it: `entry` is to be settled.

    Or the other way round: a job that `left`, and those it would have waited for.
    """

    entry: str
    jobs: list[tuple[str, Outcome]]
    dependents: list[str]


class Overdue(NamedTuple):
    """A job that has waited for others for long, and some of those."""

    job: str
    policy: str
    parents: list[str]


class Awaits(NamedTuple):
    """How many jobs one waits for still, whether more may come, and some of those."""

    left: int
    open: bool
    some: list[str]


class Joined(NamedTuple):
    """How many jobs wait no more, and whether jobs ended by this that others wait for."""

    jobs: int
    more: bool


class Linking(Face):
    """Verbs of a partition about jobs that wait for others."""

    __slots__ = ()

    async def watch(
        self, pairs: Iterable[tuple[str, str]], *, ended: bool = False
    ) -> list[Watched]:
        """Have jobs here tell those that wait for them: (job, who waits); whether the job lives.

        `ended`: note it of jobs that do not live, too. `full`: `MAX_DEPENDENTS` wait for it, and
        this one is not noted.
        """
        args: list[Any] = [int(ended), MAX_DEPENDENTS]
        for pair in pairs:
            args += pair
        return [_WATCHED[reply] for reply in await self._run("watch", args)]

    async def collect(self, limit: int, idle_ms: int = 0) -> list[Ended]:
        """Take from the outbox; with `idle_ms` also what somebody else took so long ago."""
        replies = await self._run("collect", [limit, idle_ms])
        return [
            Ended(entry.decode(), _pairs(ended.decode().split()), dependents.decode().split())
            for entry, ended, dependents in replies
        ]

    async def is_open(self, job: str) -> bool:
        """Whether a job here waits for others, and for more that may come."""
        with translated():
            key = self._keys.parents(self.partition, job)
            return bool(await call(self._redis, "SISMEMBER", key, "open"))

    async def awaits(self, job: str, limit: int) -> Awaits:
        """For whom a job here waits still; up to `limit` are named, any of them."""
        key = self._keys.parents(self.partition, job)
        with translated():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.scard(key).sismember(key, "open").srandmember(key, limit)
            count, is_open, some = await pipeline.execute()
        named = sorted(one.decode() for one in some if one != b"open")
        return Awaits(count - is_open, bool(is_open), named)

    async def settle(self, entries: Sequence[str]) -> None:
        """Take entries from the outbox for good."""
        await self._run("settle", list(entries))

    async def overdue(
        self, long_ms: int, jobs: int, parents: int, *, look_ms: int, seen: Sequence[str] = ()
    ) -> list[Overdue]:
        """Jobs here that have waited for others for `long_ms`, and some of those they wait for.

        They are named again after `look_ms`, unless it is said by then that they are `seen` to.
        """
        args: list[Any] = [long_ms, jobs, parents, look_ms, *seen]
        return [
            Overdue(job.decode(), policy.decode(), [p.decode() for p in some if p != b"open"])
            for job, policy, some in await self._run("overdue", args)
        ]

    async def outbox(self) -> int:
        """How many entries there are."""
        with translated():
            return await call(self._redis, "XLEN", self._keys.outbox(self.partition))

    async def join(self, news: Mapping[str, Sequence[tuple[str, Outcome]]]) -> Joined:
        """Tell jobs here how some of those ended that they wait for; any number of times."""
        args: list[Any] = []
        for job, parents in news.items():
            args += (job, len(parents))
            for parent in parents:
                args += parent
        jobs, more = await self._run("join", args)
        return Joined(jobs, more == 1)

    async def extend(
        self,
        job: str,
        parents: Sequence[str],
        ended: Mapping[str, Outcome],
        close: JobClosed | None = None,
    ) -> Extended:
        """Have an open job here wait for more jobs; `close`: and for no others after these."""
        args: list[Any] = [
            job,
            body_of(JobExtended(list(parents))) if parents else b"",
            b"" if close is None else body_of(close),
        ]
        for parent in parents:
            args += (parent, ended.get(parent, ""))
        return (await self._run("extend", args)).decode()


def _pairs(words: Any) -> list[tuple[str, Outcome]]:
    return list(zip(words[::2], words[1::2], strict=True))
