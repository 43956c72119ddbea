"""From how an attempt went to the verdict that the log takes."""

import math
from typing import Any

from ..core.codec import encode
from ..core.events import (
    Event,
    Fault,
    JobAttemptFailed,
    JobCancelled,
    JobCrashed,
    JobFailed,
    JobReleased,
    JobSnoozed,
    JobSucceeded,
    body_of,
)
from ..core.queue import Finish
from ..core.retry import DEFAULT, delay_after
from .attempts import Attempt, Stop
from .errors import StepError
from .faults import MAX_MESSAGE, bounded, fault_of
from .opening import encrypted, encrypted_fault
from .verdicts import Fail, Retry, Snooze, Verdict

_NOTHING = body_of(JobSucceeded())
_CANCELLED = body_of(JobCancelled())
_DRAINED = body_of(JobReleased("drain"))
_EXHAUSTED = body_of(JobFailed("exhausted"))
_NON_RETRYABLE = body_of(JobFailed("non_retryable"))

MIN_RELEASE, MAX_RELEASE = 1_000, 60_000
"""Bounds (ms) of the wait before a job without a handler here is offered again."""

MAX_RESULT = 8 * 2**20
"""Bytes of a result, unless settings say otherwise."""

ELSEWHERE_RELEASE = 2_000
"""The upper one if another worker has a handler: sooner or later that one is given the job."""


CROWDED_RELEASE = 2_000
"""The same of a job that waited for a process here: one may be free very soon."""


def returned(attempt: Attempt, value: Any, most: int = MAX_RESULT) -> Finish:
    """The handler returned `value`, which may have `most` bytes as JSON."""
    lease = attempt.lease
    steps = None if attempt.context is None else attempt.context.reached
    if steps is not None:
        if steps.asleep is not None:
            return asleep(attempt, steps.asleep)
        try:
            steps.check_awaited()
        except StepError as error:
            return hopeless(attempt, fault_of(error))
    if value is None:
        return Finish(lease.id, lease.fence, "succeeded", _NOTHING)
    if isinstance(value, Verdict):
        return raised(attempt, value)
    try:
        body = encode(JobSucceeded(encrypted(attempt.key, "result", encode(value))))
    except Exception as error:  # whatever msgspec, or a property of the value, raises
        message = (
            f"expected a result that can be written as JSON, got {type(value).__name__}: {error}"
        )
        return hopeless(attempt, Fault("InvalidResult", bounded(message, MAX_MESSAGE)))
    if len(body) > most:
        message = (
            f"expected a result of at most {most} bytes (MILLSTREAM_MAX_RESULT_BYTES), "
            f"got {len(body)}"
        )
        return hopeless(attempt, Fault("InvalidResult", message))
    return Finish(lease.id, lease.fence, "succeeded", body)


def raised(attempt: Attempt, error: BaseException) -> Finish:
    """The handler raised `error`, a verdict or anything else."""
    steps = None if attempt.context is None else attempt.context.reached
    if steps is not None and steps.asleep is not None:
        return asleep(attempt, steps.asleep)
    match error:
        case Snooze():
            delay = _snooze_ms(attempt, error)
            return _finish(attempt, "snoozed", JobSnoozed(delay), delay)
        case Fail():
            return hopeless(attempt, _cause(error, error.reason))
        case Retry():
            return failed(attempt, _cause(error, error.reason), error.after)
        case _ if attempt.handler and _hopeless(error, attempt.handler.non_retryable):
            return hopeless(attempt, fault_of(error))
        case _:
            return failed(attempt, fault_of(error))


def asleep(attempt: Attempt, until: int) -> Finish:
    """The handler sleeps until then (ms), whatever it made of being told so."""
    delay = max(0, math.ceil(until - attempt.now()))
    return _finish(attempt, "snoozed", JobSnoozed(delay), delay)


def _hopeless(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether no other attempt is to be made: of a group, if none of its errors says otherwise."""
    if not kinds:
        return False
    if isinstance(error, kinds):
        return True
    if isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error
        return group.split(kinds)[1] is None
    return False


def failed(attempt: Attempt, fault: Fault, after: float | None = None) -> Finish:
    """The attempt failed: it is tried again `after` seconds or by the job's backoff, if it may."""
    lease, spec = attempt.lease, attempt.spec
    fault = encrypted_fault(attempt.key, fault)
    if spec is None or lease.attempt >= spec.max_attempts:
        body = body_of(JobAttemptFailed(fault))
        return Finish(lease.id, lease.fence, "failed", body, 0, _EXHAUSTED)
    delay = _backoff_ms(attempt, lease.attempt) if after is None else round(after * 1000)
    return _finish(attempt, "retry", JobAttemptFailed(fault, delay), delay)


def broken(attempt: Attempt, error: BaseException) -> Finish:
    """What runs attempts failed itself: a verdict there must be, or the job runs for ever."""
    fault = fault_of(error)
    try:
        return failed(attempt, fault)
    except Exception:  # the wait before another attempt is what cannot be told
        return hopeless(attempt, fault)


def hopeless(attempt: Attempt, fault: Fault) -> Finish:
    """The attempt failed, and no other can do better."""
    lease = attempt.lease
    body = body_of(JobAttemptFailed(encrypted_fault(attempt.key, fault)))
    return Finish(lease.id, lease.fence, "failed", body, 0, _NON_RETRYABLE)


def stopped(attempt: Attempt, timeout: float | None) -> Finish:
    """The attempt was stopped: why it was counts, whatever its handler then made of it."""
    lease = attempt.lease
    match attempt.stop:
        case Stop.TIMEOUT:
            return failed(attempt, Fault("Timeout", f"the attempt took longer than {timeout:g} s"))
        case Stop.CANCEL:
            return Finish(lease.id, lease.fence, "cancelled", _CANCELLED)
        case _:
            return Finish(lease.id, lease.fence, "released", _DRAINED)


def not_mine(
    attempt: Attempt, fault: str, give_up_after: float, elsewhere: bool | None = False
) -> Finish:
    """No handler here can run it: offer it again later, or give up after seconds of waiting.

    The wait is half of the job's age, so that a deployment finds it soon and a forgotten job
    costs little. Its age counts from when it could first run, by the server's clock.

    `elsewhere`: whether another worker can run it; None: not known, so it is not given up, and is
    offered again as soon as that is known.
    """
    lease = attempt.lease
    age = _age(attempt)
    if elsewhere is False and age >= give_up_after * 1000:
        end = body_of(JobFailed("handler_missing", Fault("HandlerMissing", fault)))
        return Finish(lease.id, lease.fence, "failed", b"", 0, end)
    if elsewhere is None:
        return _later(attempt, "handler_missing", age, MIN_RELEASE)
    most = ELSEWHERE_RELEASE if elsewhere else MAX_RELEASE
    return _later(attempt, "handler_missing", age, most)


def no_process(attempt: Attempt, most: int = MAX_RELEASE) -> Finish:
    """No process was free for it here, or could be started: offer it again later, to others too."""
    return _later(attempt, "no_process", _age(attempt), most)


def crashed(attempt: Attempt, cause: str, worker: str, max_crashes: int) -> Finish:
    """The process that ran it alone died: it runs again by its backoff, or has crashed too often.

    The wait is what a failed attempt of that number would have: what takes a process along costs
    more than an error, and is to be tried no sooner.
    """
    lease = attempt.lease
    crashes = lease.crashes + 1
    if crashes >= max_crashes:
        body = body_of(JobCrashed(worker, crashes, cause))
        end = body_of(JobFailed("poison", Fault("Crashed", cause)))
        return Finish(lease.id, lease.fence, "crashed", body, 0, end)
    delay = _backoff_ms(attempt, crashes)
    return _finish(attempt, "crashed", JobCrashed(worker, crashes, cause, delay), delay)


def _backoff_ms(attempt: Attempt, number: int) -> int:
    """The wait after that many failures of a kind."""
    spec, handler = attempt.spec, attempt.handler
    backoff = (spec and spec.backoff) or (handler and handler.backoff) or DEFAULT
    return round(delay_after(number, backoff) * 1000)


def _age(attempt: Attempt) -> int:
    """For how long (ms) it could have run."""
    lease, spec = attempt.lease, attempt.spec
    since = int(lease.id[:8] + lease.id[9:13], 16)  # the ms in its UUIDv7
    if spec is not None:
        since = max(since + (spec.delay_ms or 0), spec.run_at or 0)
    return lease.now - since


def _later(attempt: Attempt, reason: str, age: int, most: int = MAX_RELEASE) -> Finish:
    delay = max(MIN_RELEASE, min(age // 2, most))
    return _finish(attempt, "released", JobReleased(reason, delay), delay)


def _finish(attempt: Attempt, verdict: Any, event: Event, delay: int) -> Finish:
    return Finish(attempt.lease.id, attempt.lease.fence, verdict, body_of(event), delay)


def _cause(error: Verdict, reason: str) -> Fault:
    """The fault behind a verdict: what it was raised from, else the verdict itself."""
    fault = fault_of(error.__cause__ or error)
    return Fault(fault.type, bounded(reason, MAX_MESSAGE) or fault.message, fault.traceback)


def _snooze_ms(attempt: Attempt, snooze: Snooze) -> int:
    if snooze.until is None:
        return round((snooze.seconds or 0) * 1000)
    return max(0, round(snooze.until.timestamp() * 1000 - attempt.now()))
