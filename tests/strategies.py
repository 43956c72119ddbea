"""Hypothesis strategies for histories as the Lua verbs could have written them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.codec import Data, wrap
from millstream.core.jobs import TERMINAL, Job, JobState, evolve
from millstream.core.jobs.state import JOBS

START_MS = 1_750_000_000_000

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
"""Any JSON value that a payload or a result may be."""

data: st.SearchStrategy[Data] = json_values.map(wrap)
names = st.text("abcdefghij.-", min_size=1, max_size=8)
times = st.integers(START_MS, START_MS + 10**9)
delays = st.integers(0, 10**7)
faults = st.builds(
    ev.Fault, type=names, message=st.text(max_size=20), traceback=st.text(max_size=9)
) | st.builds(ev.Fault, type=names, message=st.just(""), encrypted=data)

_spec: dict[str, Any] = {
    "type": names,
    "concurrency_key": st.none() | names,
    "rate_key": st.none() | names,
    "payload": data,
    "priority": st.integers(0, 9),
    "max_attempts": st.integers(1, 20),
    "delay_ms": st.none() | delays,
    "run_at": st.none() | times,
    "expires_at": st.none() | times,
    "tags": st.lists(names, max_size=3),
    "metadata": st.dictionaries(names, st.text(max_size=8), max_size=2),
}
submissions: st.SearchStrategy[ev.JobSubmitted] = st.builds(ev.JobSubmitted, **_spec)

FLOWS = [f"0197a5c0-0000-7000-8000-0000000f{n:04x}" for n in range(2)]
_parents = st.lists(
    st.integers(100, 103).map("0197a5c0-0000-7000-8000-{:012x}".format), max_size=3, unique=True
)
linked: st.SearchStrategy[ev.JobSubmitted] = st.builds(
    ev.JobSubmitted, **_spec, flow=st.none() | st.sampled_from(FLOWS), depends_on=_parents,
    open=st.booleans(), on_parent_failure=st.sampled_from(["fail", "cancel", "run", "wait"]),
)  # fmt: skip
"""Submissions of jobs that are part of flows, or wait for others."""

_by = {"actor": names, "reason": st.text(max_size=8)}
_cancelled = st.builds(ev.JobCancelled, **_by)
_expired = st.just(ev.JobFailed("expired"))

WAITING: list[st.SearchStrategy[ev.Event]] = [
    st.sampled_from([ev.JobQueued("due"), ev.JobQueued("retry"), ev.JobQueued("limit")]),
    st.builds(ev.JobRescheduled, run_at=times, **_by),
    st.builds(ev.JobReplaced, **_spec),
    _cancelled,
    _expired,
]

_WAITING_FOR_JOBS: list[st.SearchStrategy[ev.Event]] = [
    st.builds(ev.JobJoined, run_at=st.none() | times),
    st.builds(ev.JobExtended, parents=_parents),
    st.builds(ev.JobClosed, **_by),
    st.builds(ev.JobFailed, reason=st.just("parent_failed"), parent=st.just(FLOWS[0])),
    _cancelled,
]


def next_events(job: Job, tries: int, last: ev.Event) -> st.SearchStrategy[ev.Event]:
    """Events that may follow `last`, with the numbers they must carry.

    `tries`: attempts that have ended.
    """
    if isinstance(last, ev.JobAttemptFailed) and last.retry_ms is None:
        return st.builds(ev.JobFailed, reason=st.just("exhausted"))
    if job.state in TERMINAL:
        return _after_end(job)
    if job.state is JobState.BLOCKED and job.blocked_on == JOBS:
        return st.one_of(_WAITING_FOR_JOBS)
    if job.state is JobState.QUEUED:
        started = st.builds(ev.JobStarted, attempt=st.just(tries + 1), worker=names)
        # More often, or few histories would get anywhere.
        blocked = st.builds(ev.JobBlocked, on=names)
        moved = st.builds(ev.JobRescheduled, run_at=times, **_by)
        replaced = st.builds(ev.JobReplaced, **_spec)
        rare = (blocked, moved, replaced, _cancelled, _expired)
        return st.one_of(started, started, started, started, *rare)
    if job.state is not JobState.RUNNING:
        return st.one_of(WAITING)
    retry = st.none() | delays if tries + 1 < job.max_attempts else st.none()
    return st.one_of(
        st.builds(ev.JobSucceeded, result=data),
        st.builds(ev.JobAttemptFailed, error=faults, retry_ms=retry),
        st.builds(ev.JobFailed, reason=st.just("exhausted"), error=st.none() | faults),
        st.builds(ev.JobSnoozed, delay_ms=delays),
        st.builds(ev.JobReleased, reason=st.just("drain"), delay_ms=st.just(0) | delays),
        st.builds(ev.JobLeaseExpired, worker=names, crashes=st.just(job.crashes + 1)),
        st.builds(ev.JobCrashed, worker=names, crashes=st.just(job.crashes + 1), cause=names,
                  delay_ms=st.just(0) | delays),
        st.builds(ev.JobCancelRequested, **_by),
        st.just(ev.JobQueued("group_lost")),
        _cancelled,
        st.builds(ev.JobCheckpointed, step=st.just(f"step-{job.version}"), result=data,
                  wake_at=st.none() | times),
        st.builds(ev.JobProgressed, value=st.floats(0, 1), message=names),
    )  # fmt: skip


def _after_end(job: Job) -> st.SearchStrategy[ev.Event]:
    commands = st.just("") | names
    redriven = st.builds(ev.JobRedriven, run_at=st.none() | times, command=commands, **_by)
    if job.state is JobState.FAILED and not job.discarded:
        return redriven | st.builds(ev.JobDiscarded, command=commands, **_by)
    return redriven


def record_of(
    event: ev.Event, *, job: str, version: int, seq: int, time: int, partition: str = "default"
) -> ev.Record:
    """The record a log would hold of `event`; its stream id is made of time and seq."""
    entry = f"{time}-{seq}"
    body = ev.body_of(event)
    return ev.Record(partition, seq, 1, event.name, job, version, body, time, entry)


def job_id(number: int) -> str:
    """A UUIDv7 that is the same in every run."""
    return f"0197a5c0-0000-7000-8000-{number:012x}"


Pair = tuple[ev.Record, ev.Event]


@st.composite
def histories(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    *,
    number: int = 1,
    max_size: int = 12,
    submitted: st.SearchStrategy[ev.JobSubmitted] = submissions,
) -> list[Pair]:
    """The legal history of one job, from its submission to any point of its life."""
    time, tries = draw(times), 0
    event: ev.Event = draw(submitted)
    pairs: list[Pair] = []
    job: Job | None = None
    for version in range(1, draw(st.integers(1, max_size)) + 1):
        record = record_of(event, job=job_id(number), version=version, seq=version, time=time)
        pairs.append((record, event))
        job = evolve(job, record, event)
        if isinstance(event, ev.JobAttemptFailed):
            tries += 1
        elif isinstance(event, ev.JobRedriven | ev.JobReplaced):
            tries = 0
        time += draw(st.integers(0, 10**6))
        event = draw(next_events(job, tries, event))
    return pairs


@st.composite
def logs(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    *,
    max_jobs: int = 5,
    max_size: int = 8,
    submitted: st.SearchStrategy[ev.JobSubmitted] = submissions,
) -> list[Pair]:
    """A log: the histories of several jobs, shuffled into one order with contiguous seq."""
    lives = [
        draw(histories(number=n, max_size=max_size, submitted=submitted))
        for n in range(draw(st.integers(1, max_jobs)))
    ]
    mixed: list[Pair] = []
    time = START_MS
    while any(lives):
        life = draw(st.sampled_from([one for one in lives if one]))
        record, event = life.pop(0)
        seq = len(mixed) + 1
        time = max(time, record.time)
        record = msgspec.structs.replace(record, seq=seq, time=time, entry=f"{time}-{seq}")
        mixed.append((record, event))
    return mixed
