"""A log with a worker on it, for tests: it does what it is told to, and its time is stepped."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack

from ...core.config import Settings
from ...core.events import Command, Record
from ...core.queue import PartitionQueue, Redrive
from ..errors import StepError
from ..handlers import Registry, default
from ..loading import load_apps
from ..submissions import Options
from .crew import AT_START, Crew
from .errors import Leftover, NeverCrashed, NeverQuiet, SandboxError, unknown_type
from .ground import ground_of
from .seen import Happened, Snapshot, happened, moment, snapshot, submitted_by

ELSEWHERE = "elsewhere"
"""Queue of the jobs whose handlers are elsewhere, unless a submission names another."""

MOST_ATTEMPTS = 10_000
MOST_STEPS = 100_000
TESTER = Command("test", "")


class Sandbox:
    """Runs handlers of `app`: a `Registry`, a module or file as a worker takes it, or several of
    those; by default all that `@job` has registered.

        async with Sandbox(registry) as box:
            job = await box.submit("email.send", {"to": "ada@example.org"}, delay=60)
            await box.advance(minutes=1)
            assert box.job(job).state == "succeeded"

    server      True: on a Valkey that is started for it, in place of the log in memory; a URL: on
                that server, under a namespace of its own
    start       what time it is at first; by default now, to the second
    elsewhere   job types that handlers may submit and other workers run: they are taken, not run
    queues      served beside `default` and those that handlers name
    concurrency  jobs at a time; with one, they run in the order they are given
    patience    seconds of real time that handlers may take, one round of them
    strict      at the end of the block every job that has a handler here must have ended
    settings    any of a worker: `lease`, `max_crashes`, …
    """

    def __init__(
        self,
        app: Registry | str | Sequence[str] | None = None,
        *,
        server: bool | str = False,
        start: datetime | None = None,
        elsewhere: Iterable[str] = (),
        queues: Iterable[str] = (),
        concurrency: int = 1,
        patience: float = 5.0,
        strict: bool = False,
        **settings: Any,
    ) -> None:
        self._registry = _registry(app)
        self._elsewhere = frozenset(elsewhere)
        self._strict = strict
        if "erasure_secret" in settings:
            raise SandboxError("erasure_secret: expected none, nothing is encrypted in a sandbox")
        self._settings = Settings(concurrency=concurrency, **settings)
        self._served = {"default", *self._registry.queues, *queues}
        self._ground = ground_of(server, start)
        self._patience = patience
        self._at_work: Crew | None = None
        self._working = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self._ground.open()
            await self._begin()
        except BaseException:
            await self._ground.close()
            raise
        return self

    async def _begin(self) -> None:
        types = {name: {"queue": ELSEWHERE} for name in self._elsewhere}
        await self._ground.directory.announce_types(types)
        self._at_work = Crew(
            self._ground, self._registry, self._settings, self._served, self._patience
        )
        await self._crew.start()
        await self._ground.refresh()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        doomed = self._crew.doomed
        await self._crew.stop()
        self._at_work = None
        await self._ground.refresh()
        left = self._leftovers() if self._strict and kind is None else []
        alive = self._alive(doomed) if kind is None else []
        await self._ground.close()
        if alive:
            raise NeverCrashed(*alive[0])
        if left:
            raise Leftover(left)

    # -- what a test does ---------------------------------------------------------

    async def submit(self, type: str, payload: Any = None, /, **options: Unpack[Options]) -> str:
        """Submit a job as a client would; its id, or that of the job that stands for it.

        Options as `ctx.submit` takes them. Raises SandboxError for a job that cannot be: of a
        type nobody here has a handler for, or with a payload its handler does not take.
        """
        if type not in self._registry and type not in self._elsewhere:
            raise unknown_type(type, [handler.type for handler in self._registry])
        submissions = self._crew.submissions
        try:
            made = await submissions.prepare(type, type, payload, options, self._ground.time())
            self._check_served(type, made[0])
            job = await submissions.send(*made, "submit")
        except StepError as error:
            raise SandboxError(str(error)) from error
        await self._ground.refresh()
        return job

    async def run(self, *, most: int | None = None) -> int:
        """Run all that may run now, and what comes of it, until nothing is ready.

        How many attempts were made: at most `most`; without it, more than 10,000 are an error.
        """
        limit, count = most or MOST_ATTEMPTS, 0
        async with self._working:
            while count < limit:
                count += (ran := await self._crew.round(limit - count))
                if not ran and not await self._crew.tell():
                    break
            await self._ground.refresh()
        if most is None and count >= limit:
            raise NeverQuiet(count, [name for name, _ in self._crew.ran.most_common(3)])
        for alive in self._alive(self._crew.doomed, ended=True):
            self._crew.doomed.clear()
            raise NeverCrashed(*alive)
        return count

    async def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Let time pass, and run what becomes due at its time, one instant after the other.

        Due jobs, retries, sleeps, schedules, rates, timeouts and the leases of crashed workers.
        """
        left = round(((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000)
        if left < 0:
            raise SandboxError(f"advance: expected 0 seconds or more, got {left / 1000:g}")
        await self._go_on()
        for _ in range(MOST_STEPS):
            if left <= 0:
                return
            left -= await self._step(left)
        raise SandboxError(f"advance: expected at most {MOST_STEPS} instants, there are more")

    async def run_to_end(self, *, days: float = 30) -> None:
        """Let as much time pass as it takes until no job of a type known here waits or runs.

        Raises Leftover if some still do after so many days.
        """
        left = round(days * 86_400_000)
        await self._go_on()
        while left > 0 and self._leftovers():
            if await self._crew.next_in() is None:
                break
            left -= await self._step(left)
        if unfinished := self._leftovers():
            raise Leftover(unfinished)

    async def cancel(self, job: str) -> str:
        """Cancel a job: cancelled, requested (it runs, and is interrupted), pending or missing."""
        (reply,) = await self._queue_of(job).cancel([job], TESTER)
        if reply in ("requested", "pending"):
            self._crew.cancel(job)
        await self._ground.refresh()
        return reply

    async def redrive(self, job: str) -> str:
        """Run a job again that has ended: queued, live or stale."""
        found = self.job(job)
        spec = [one for one in self._of(job) if one.type in ("job.submitted", "job.replaced")][-1]
        again = Redrive(job, found.priority, found.version, spec.body)
        (reply,) = await self._queue_of(job).redrive([again], TESTER)
        await self._ground.refresh()
        return reply

    def crash(self, job: str, *, after: str | None = None) -> None:
        """Have the worker of a job die: now if the job runs, else as soon as it does.

        after  a step: it dies once that is kept

        The job runs again when its lease has expired (`lease`, 30 s): `advance` past that. If it
        ends first, or the sandbox does, the worker did not die: `run` (or the block) raises
        SandboxError, which says what steps there were.
        """
        attempt = self._crew.running(job)
        if after is None and attempt is not None:
            self._crew.kill(attempt)
        else:
            self.job(job)
            self._crew.doomed[job] = AT_START if after is None else after

    # -- what a test sees ---------------------------------------------------------

    @property
    def now(self) -> datetime:
        """What time it is in the sandbox (UTC)."""
        return moment(round(self._ground.time()))

    def job(self, job: str) -> Snapshot:
        """A job as it stands. Raises SandboxError if there is none of that id."""
        records = self._of(job)
        if not records:
            raise SandboxError(f"job: expected the id of a job submitted here, got {job!r}")
        return snapshot(records)

    def submitted(self, type: str | None = None, *, by: str | None = None) -> list[Snapshot]:
        """Jobs in the order they were submitted.

        type  of that type alone; by: by the handler of that job alone
        """
        by_job: dict[str, list[Record]] = {}
        for record in self._ground.records():
            if record.job:
                by_job.setdefault(record.job, []).append(record)
        ids = list(by_job) if by is None else submitted_by(self.events(by))
        found = [snapshot(by_job[id]) for id in ids if id in by_job]
        return [one for one in found if type is None or one.type == type]

    def events(self, job: str | None = None) -> list[Happened]:
        """What happened to a job, or all that happened."""
        return happened(self._ground.records() if job is None else self._of(job))

    def queue(self, name: str = "default") -> PartitionQueue:
        """All that can be done to a queue (pause, limits, …), see `core.queue`."""
        return self._ground.directory.queue(name)

    # -- how ----------------------------------------------------------------------

    @property
    def _crew(self) -> Crew:
        if self._at_work is None:
            raise SandboxError("expected to be asked within `async with Sandbox(…) as box:`")
        return self._at_work

    async def _step(self, left: int) -> int:
        """Let time pass up to the next instant at which something becomes due; how many ms."""
        wait = await self._crew.next_in()
        step = left if wait is None else min(left, max(1, -int(-wait // 1)))
        await self._crew.step(step)
        await self._go_on()
        return step

    async def _go_on(self) -> None:
        """Run what may run; if that is under way already, it will take what has become due.

        Nor while a handler is stuck: time may be what it waits for.
        """
        if self._working.locked() or self._crew.stuck:
            await asyncio.sleep(0)
        else:
            await self.run()

    def _of(self, job: str) -> list[Record]:
        return [one for one in self._ground.records() if one.job == job]

    def _queue_of(self, job: str) -> PartitionQueue:
        return self.queue(self.job(job).queue)

    def _check_served(self, type: str, queue: str) -> None:
        if type in self._registry and queue not in self._served:
            raise SandboxError(
                f"submit: expected a queue that is served here ({', '.join(sorted(self._served))};"
                f" queues= names more), got {queue!r}"
            )

    def _alive(
        self, doomed: dict[str, str], *, ended: bool = False
    ) -> list[tuple[str, str, Collection[str]]]:
        """Jobs whose workers did not die as they were to: who, after which step, and its steps."""
        found = [(self.job(job), step) for job, step in doomed.items()]
        return [
            (f"{one.id} ({one.type}, {one.state})", step, one.steps)
            for one, step in found
            if one.ended or not ended
        ]

    def _leftovers(self) -> list[str]:
        mine = [
            one
            for one in self.submitted()
            if one.type in self._registry and one.queue in self._served
        ]
        return [f"{one.id} ({one.type}, {one.state})" for one in mine if not one.ended]


def _registry(app: Registry | str | Sequence[str] | None) -> Registry:
    if app is None:
        return default
    if isinstance(app, Registry):
        return app
    return load_apps([app] if isinstance(app, str) else app)
