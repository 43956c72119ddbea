"""The steps of one attempt: each is done once in the life of its job, and then remembered.

A step's name is its identity. What is kept under it is read only if the job has steps of an
earlier run at all, names first and then each result when its step is reached.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..core.codec import Data, encode
from ..core.events import JobCheckpointed, JobProgressed
from ..core.stepping import MAX_STEP_NAME, MAX_STEPS
from .attempts import Attempt
from .errors import LeaseLost, StepError
from .opening import encrypted, opened
from .patience import patiently
from .progress import progress_of
from .verdicts import Asleep

if TYPE_CHECKING:
    from .durable import Durable

T = TypeVar("T")

LONGEST_SLEEP = 366 * 86400.0

Length = float | timedelta | None

_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


class Steps:
    """Made when an attempt reaches its first step.

    `asleep`: the handler is to be called again then (ms since 1970), whatever it does.
    """

    def __init__(self, attempt: Attempt, durable: Durable) -> None:
        self.durable = durable
        self.asleep: int | None = None
        self._attempt = attempt
        self._known: frozenset[str] | None = None if attempt.lease.steps else frozenset()
        self._reached: set[str] = set()
        self._unnamed: Counter[str] = Counter()
        self._unsure: dict[str, JobCheckpointed] = {}
        self._progress: JobProgressed | None = None
        self._calls: list[tuple[str, Coroutine[Any, Any, Any]]] = []

    @property
    def job_id(self) -> str:
        """The job whose steps these are."""
        return self._attempt.lease.id

    def called(
        self, kind: str, name: str | None, call: Coroutine[Any, Any, T]
    ) -> Coroutine[Any, Any, T]:
        """Note a call that the handler is to await; it is given back."""
        self._calls.append((f"ctx.{kind}" if name is None else f"ctx.{kind} {name!r}", call))
        return call

    def check_awaited(self) -> None:
        """Of a handler that returned: what it did not await was not done. Raises StepError."""
        for told, call in self._calls:
            if inspect.getcoroutinestate(call) == inspect.CORO_CREATED:
                call.close()
                raise StepError(told, "to be awaited before the handler returns", "no await")

    async def step(self, name: str, function: Callable[[], Any], returns: Any) -> Any:
        """The result of a step: kept, or of calling `function` now."""
        kept = await self.begin(name)
        if kept is not None:
            return self.result_of(kept, returns)
        with self.attempted(name):
            value = await self.durable.call(function)
        return await self.end(name, value, returns)

    async def begin(self, name: str) -> JobCheckpointed | None:
        """Reach a step: what is kept of it, if it was done."""
        self._reach(name)
        with self.attempted(name):
            kept = await self._recall(name)
            if kept is not None and (kept.wake_at is not None or kept.job_id is not None):
                raise _other(kept, "a step")
            return kept

    async def end(self, name: str, value: Any, returns: Any) -> Any:
        """Keep what a step gave. What comes back is what later attempts will get, too."""
        result = self._encoded(name, value)
        raw = bytes(result.data)
        event = JobCheckpointed(name, encrypted(self._attempt.key, "step", raw))
        try:
            told = result.decode(returns)
        except msgspec.ValidationError as error:
            raise StepError(_named(name), f"a result as returns={returns!r} says", error) from None
        await self._keep(event)
        return told

    def result_of(self, kept: JobCheckpointed, returns: Any) -> Any:
        """What a step gave in an earlier attempt.

        Raises ValueError if it does not fit: code changed, and may change back before the next
        attempt.
        """
        try:
            return opened(self._attempt.key, "step", kept.result).decode(returns)
        except msgspec.ValidationError as error:
            raise ValueError(
                f"{_named(kept.step)}: expected a result as returns={returns!r} says, "
                f"an earlier attempt kept another: {error}"
            ) from error

    async def sleep(
        self, length: Mapping[str, Length], until: datetime | None, name: str | None
    ) -> None:
        """Return if that sleep is over, else end this run of the handler.

        `length`: its parts in seconds, minutes, hours and days.
        """
        name = self._name(name, "sleep")
        self._reach(name)
        with self.attempted(name):
            kept = await self._recall(name)
        now = self._attempt.now()
        if kept is not None:
            if kept.wake_at is None:
                raise _other(kept, "a sleep")
            wake_at = kept.wake_at
        else:
            wake_at = _wake_at(name, length, until, now)
            if wake_at > now + 1:
                await self._keep(JobCheckpointed(name, wake_at=wake_at))
        if wake_at > now + 1:  # times in the log are whole ms
            self.asleep = wake_at
            raise Asleep(name)

    async def submit(self, type: str, payload: Any, options: Any, name: str | None) -> str:
        """The job submitted from here: now, or before."""
        name = self._name(name, "submit")
        self._reach(name)
        with self.attempted(name):
            kept = await self._recall(name)
            if kept is not None:
                if kept.job_id is None:
                    raise _other(kept, "a submission")
                return kept.job_id
            attempt = self._attempt
            submissions = self.durable.submissions
            job = await submissions.submit(attempt, name, type, payload, options)
        await self._keep(JobCheckpointed(name, job_id=job))
        return job

    def progress(self, done: float, total: float, message: str) -> None:
        """Have it told how far the attempt is, unless that is known already."""
        event = progress_of(done, total, message)
        if event != self._progress:
            self._progress = event
            self.durable.progress.tell(self._attempt, event)

    @contextmanager
    def attempted(self, name: str) -> Generator[None]:
        """A step that fails may be tried again in the same attempt."""
        try:
            yield
        except BaseException:
            self._reached.discard(name)
            raise

    def check_function(self, name: str, function: Any) -> None:
        """Refuse what is no function. Raises StepError."""
        if not callable(function):
            if inspect.iscoroutine(function):
                function.close()
            raise StepError(
                _named(name), "a function and then its arguments", f"{function!r}, called already?"
            )

    def _name(self, name: str | None, kind: str) -> str:
        """Without a name of its own it is called by its kind and place."""
        if name is not None:
            return name
        self._unnamed[kind] += 1
        return f"{kind}-{self._unnamed[kind]}"

    def _reach(self, name: str) -> None:
        if self.asleep is not None:
            raise Asleep(name)
        if self._attempt.settled:
            raise LeaseLost(self._attempt.lease.id, _named(name))
        check_name(name)
        if name in self._reached:
            raise StepError(
                _named(name),
                "each name once in an attempt, the same in every attempt",
                "it a second time",
            )
        self._reached.add(name)

    async def _recall(self, name: str) -> JobCheckpointed | None:
        if name in self._unsure:
            # Its handler gave up on the answer, and tries again: it is done, and must be kept.
            event = self._unsure[name]
            await self._keep(event)
            return event
        lease = self._attempt.lease
        queue = self.durable.queue(lease.partition)
        known = self._known
        if known is None:
            known = await patiently("steps", lambda: queue.steps(lease.id))
            if not known:  # the job ended meanwhile, and its steps, which it had, with it
                raise LeaseLost(lease.id, _named(name))
            self._known = known
        if name in known:
            kept = await patiently("steps", lambda: queue.step(lease.id, name))
            if kept is None:  # as above
                raise LeaseLost(lease.id, _named(name))
            return kept
        if len(known | self._reached) > MAX_STEPS:
            raise _too_many(name)
        return None

    def _encoded(self, name: str, value: Any) -> Data:
        try:
            raw = encode(value)
        except Exception as error:  # whatever msgspec, or a property of the value, raises
            given = f"{type(value).__name__}: {error}"
            raise StepError(_named(name), "a result that can be JSON", given) from None
        most = self.durable.max_bytes
        if len(raw) > most:
            expected = f"a result of at most {most} bytes (MILLSTREAM_MAX_STEP_BYTES)"
            raise StepError(_named(name), expected, f"{len(raw)} bytes")
        return Data(msgspec.Raw(raw))

    async def _keep(self, event: JobCheckpointed) -> None:
        lease = self._attempt.lease
        self._unsure[event.step] = event
        with self.attempted(event.step):
            reply = await self.durable.recorder(lease.partition).keep(self._attempt, event)
        del self._unsure[event.step]
        if reply == 0:
            raise LeaseLost(lease.id, _named(event.step))
        if reply < 0:
            raise _too_many(event.step)


def check_name(name: str) -> None:
    """Refuse a name that cannot be that of a step. Raises StepError."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_STEP_NAME or not name.isprintable():
        shown = repr(name)[:200]
        raise StepError("name of a step", f"1 to {MAX_STEP_NAME} printable characters", shown)


def _wake_at(name: str, length: Mapping[str, Length], until: datetime | None, now: float) -> int:
    parts = [_seconds_of(unit, value) for unit, value in length.items() if value is not None]
    if bool(parts) == (until is not None):
        given = "both" if parts else "neither"
        raise StepError(_named(name), "either a duration or until", given)
    if until is None:
        try:
            seconds = math.fsum(parts)
        except TypeError:
            given = ", ".join(f"{unit}={value!r}" for unit, value in length.items() if value)
            raise StepError(_named(name), "numbers", given) from None
        if not 0 <= seconds <= LONGEST_SLEEP:
            raise StepError(_named(name), "a sleep of 0 seconds to 366 days", f"{seconds:g} s")
        return math.ceil(now + seconds * 1000)
    if until.tzinfo is None:
        raise StepError(_named(name), "until with its time zone", repr(until))
    return math.ceil(until.timestamp() * 1000)


def _seconds_of(unit: str, value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else _UNITS[unit] * value


def _named(name: str) -> str:
    return f"step {name!r}"


def _too_many(name: str) -> StepError:
    return StepError(_named(name), f"at most {MAX_STEPS} steps of a job", "one more")


def _other(kept: JobCheckpointed, expected: str) -> StepError:
    found = "a step"
    if kept.wake_at is not None:
        found = "a sleep"
    elif kept.job_id is not None:
        found = "a submission"
    given = f"{found} of an earlier attempt: names must stay what they were"
    return StepError(_named(kept.step), expected, given)
