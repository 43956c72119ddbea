"""Schedules on both sides: made, changed, paused and deleted by operators, fired by workers."""

from __future__ import annotations

from typing import Any, NamedTuple

from millstream.core import events as ev
from millstream.core.ids import new_id

from .pair import Both, Pair, Told
from .stage import Stage
from .world import MINUTE, PARTITION

KEPT_MS = 600_000
LONG_AGO = 100_000 * MINUTE
"""When an occurrence was missed: when none is ever fired, however much time passes."""


class Read(NamedTuple):
    """A schedule as somebody read it: times are those of the memory."""

    name: str
    version: int
    next: int | None


class Firing(NamedTuple):
    """What somebody does about a schedule.

    next     minutes from now on at which it is to stand; None: nowhere any more
    missed   an occurrence was missed before
    wished   somebody wants the job, and the schedule stays where it is
    """

    overlap: str = "allow"
    next: int | None = 1
    missed: bool = False
    wished: bool = False
    jobs: int = 1


class Planners(Stage):
    """`read` are all states of schedules that were ever read."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.read: list[Read] = []

    async def plan(
        self, name: str, minutes: int | None, *, digest: str, behind: int, keep: bool
    ) -> None:
        """Make or change a schedule; `behind`: by how much the version is one that was."""
        version = int(self.rooms.schedules.get(name, {}).get("version", b"0"))
        expected = "" if digest else max(0, version - behind)
        body = ev.body_of(ev.ScheduleCreated("ada", "", name, {}, digest))
        await self._both(
            "schedule_put",
            lambda at: [name, expected, digest, b"{}", *(("=", "=") if keep else (at, at)), body],
            minutes,
        )
        self._note(name)

    async def pause_plan(self, name: str, minutes: int | None, *, pause: bool, behind: int) -> None:
        version = int(self.rooms.schedules.get(name, {}).get("version", b"0"))
        if pause:
            body = ev.body_of(ev.SchedulePaused("ada", "", name))
            await self._both("schedule_pause", lambda _: [name, "pause", "", "", "", body], None)
        else:
            body, expected = ev.body_of(ev.ScheduleResumed("ada", "", name)), version - behind
            await self._both(
                "schedule_pause", lambda at: [name, "resume", expected, at, at, body], minutes
            )
        self._note(name)

    async def delete_plan(self, name: str) -> None:
        body = ev.body_of(ev.ScheduleDeleted("ada", "", name))
        await self._both("schedule_delete", lambda _: [name, body], None)

    async def plans_due(self, offset: int, limit: int) -> None:
        await self.pair.call(
            lambda queue: queue._run("schedules_due", [offset, limit]),
            told=lambda reply: Told(list(reply[2]), reply[:2]),
        )

    def reading(self, back: int) -> Read | None:
        """The last reading of any schedule, or so many before."""
        return self.read[-1 - back % len(self.read)] if self.read else None

    def stands(self, name: str) -> Read | None:
        """How a schedule stands; None: there is none."""
        fields = self.rooms.schedules.get(name, {})
        if "version" not in fields:
            return None
        return Read(name, int(fields["version"]), int(fields["next"]) if fields["next"] else None)

    async def fire(self, read: Read | None, how: Firing, *, command: str = "") -> None:
        """Fire a schedule as it was read."""
        if read is None:
            return
        now = await self.pair.before_the_next()
        wished = how.wished or read.next is None
        ids = [new_id(PARTITION) for _ in range(how.jobs)]
        self.pair.ids += ids
        args = [
            [command, KEPT_MS, *self._args(side, read, how._replace(wished=wished), ids, at)]
            for side, at in enumerate(now)
        ]
        real, memory = args
        await self.pair.call(
            lambda queue: queue._run("fire", real),
            lambda queue: queue._run("fire", memory),
            told=lambda replies: Told([tuple(reply) for reply in replies]),
        )
        self._note(read.name)

    def _args(self, side: int, read: Read, how: Firing, ids: list[str], now: int) -> list[Any]:
        """Of one firing, in the times of a side: 0 the server, 1 the memory."""
        stands = "" if read.next is None else self._on(side, read.next)
        position = "-" if how.wished else stands
        at = "" if how.next is None else now + how.next * MINUTE
        occurrence = stands if stands != "" else now
        skipped, by = b"", b',"actor":"ada"' if how.wished else b""
        if how.missed and not how.wished:
            past = now - LONG_AGO
            skipped = ev.body_of(ev.ScheduleSkipped(read.name, past, "missed", 3, past))
        args: list[Any] = [
            read.name, read.version, position, "", at, at, how.overlap,
            skipped, by, len(ids),
        ]  # fmt: skip
        for n, id in enumerate(ids):
            spec = ev.JobSubmitted("noop", schedule=read.name, occurrence=n, max_attempts=99)
            cause = ("manual", "backfill")[n % 2] if how.wished else "due"
            args += (id, occurrence + n * MINUTE, cause, 5, 0, ev.body_of(spec))
        return args

    async def _both(self, verb: str, args: Any, minutes: int | None) -> None:
        now = await self.pair.before_the_next()
        at = Both("", "") if minutes is None else Both(*(one + minutes * MINUTE for one in now))
        await self.pair.call(
            lambda queue: queue._run(verb, args(at.real)),
            lambda queue: queue._run(verb, args(at.memory)),
            told=lambda reply: Told(list(reply) if isinstance(reply, list | tuple) else reply),
        )

    def _note(self, name: str) -> None:
        if read := self.stands(name):
            self.read.append(read)

    def _on(self, side: int, at: int) -> int:
        """A time of the memory that somebody named, on that side: known to the ms."""
        return at if side else self.world.ms(at, self.pair.clock.now)[0]
