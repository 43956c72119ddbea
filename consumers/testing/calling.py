"""One attempt at one job: what a single handler makes of a payload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Unpack

from ...core import events as ev
from ..handlers import Handler, Registry, default
from ..submissions import Options
from .errors import SandboxError, unknown_type
from .sandbox import Sandbox
from .seen import Happened, Snapshot, steps_of

VERDICTS = {
    "job.succeeded": "succeeded",
    "job.attempt_failed": "retry",
    "job.failed": "failed",
    "job.snoozed": "snoozed",
    "job.released": "released",
    "job.cancelled": "cancelled",
}


class Outcome(NamedTuple):
    """What came of one attempt.

    verdict    succeeded, retry (it failed and is tried again), failed, snoozed, released, cancelled
    result     what the handler returned, as its JSON says
    error      why it failed
    after      seconds until the job runs again, of a retry, a snooze or a sleep
    steps      step → what is kept of it
    submitted  jobs it submitted, in order
    """

    verdict: str
    result: Any
    error: ev.Fault | None
    after: float | None
    steps: dict[str, Any]
    submitted: list[Snapshot]


async def call(
    handler: Callable[..., Any] | str,
    payload: Any = None,
    /,
    *,
    registry: Registry | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Run a handler once, as a worker would, in memory.

    `handler`: the function, or its job type. It is looked for in `registry`, by default among all
    that `@job` has registered. Whatever types it submits are taken. `options` are those of the
    job, as `ctx.submit` takes them. Raises SandboxError for a handler that is not there, or a
    payload it does not take.
    """
    registry = default if registry is None else registry
    found = _find(registry, handler)
    box = Sandbox(registry, unknown_types="accept", queues=_queues(options))
    async with box:
        job = await box.submit(found.type, payload, **options)
        if box.job(job).run_at is not None:
            await box.queue(box.job(job).queue).reschedule([job], "+0", ev.Command("test", ""))
        await box.run(most=1)
        return _outcome(box, job)


def _find(registry: Registry, handler: Callable[..., Any] | str) -> Handler:
    known = list(registry)
    if isinstance(handler, str):
        found = registry.get(handler)
        if found is None:
            raise unknown_type(handler, [one.type for one in known])
        return found
    for one in known:
        if one.function is handler:
            return one
    raise SandboxError(
        f"call: expected a function that is registered with @job (or one in registry=),"
        f" got {handler!r}"
    )


def _queues(options: Options) -> Iterable[str]:
    return [options["queue"]] if "queue" in options else []


def _outcome(box: Sandbox, job: str) -> Outcome:
    events = box.events(job)
    last = events[-1]
    found = box.job(job)
    return Outcome(
        verdict=VERDICTS[last.type],
        result=found.result,
        error=found.error,
        after=_after(last),
        steps=steps_of(one.body for one in events),
        submitted=box.submitted(by=job),
    )


def _after(last: Happened) -> float | None:
    match last.body:
        case ev.JobAttemptFailed(retry_ms=int(ms)):
            return ms / 1000
        case ev.JobSnoozed(delay_ms=int(ms)) | ev.JobReleased(delay_ms=int(ms)):
            return ms / 1000
        case _:
            return None
