"""What the golden files hold: each event type with every field set, and with the least."""

from __future__ import annotations

from millstream.core import events as ev
from millstream.core.codec import Data, wrap
from millstream.core.retry import Backoff

_FAULT = ev.Fault("ValueError", "no “file”", "line 1\nline 2")

FULL: list[ev.Event] = [
    ev.JobSubmitted(
        type="email.send",
        payload=wrap({"to": ["ada"], "n": 2**63, "empty": [], "zero": "\0", "é": 1.5}),
        priority=0,
        max_attempts=3,
        backoff=Backoff("linear", 2.5, 3.0, 60.0, 0.5),
        timeout_ms=30_000,
        delay_ms=1500,
        run_at=1_750_000_000_000,
        expires_at=1_750_000_100_000,
        tags=["nightly", "é"],
        metadata={"tenant": "7"},
    ),
    ev.JobQueued("due"),
    ev.JobBlocked("concurrency of type email.send"),
    ev.JobRescheduled("ada", "after the fair", 1_750_000_000_000),
    ev.JobReplaced(type="email.send", payload=wrap({"to": ["eve"]}), delay_ms=1500),
    ev.JobStarted(2, "host-1-abc"),
    ev.JobSucceeded(wrap({"sent": True})),
    ev.JobAttemptFailed(_FAULT, 1500),
    ev.JobFailed("exhausted", _FAULT),
    ev.JobSnoozed(60_000),
    ev.JobReleased("handler_missing", 5000),
    ev.JobLeaseExpired("host-1-abc", 2),
    ev.JobCancelRequested("ada", "wrong address"),
    ev.JobCancelled("ada", "wrong address"),
    ev.JobRedriven("ada", "mail server is back"),
    ev.QueuePaused("ada", "the mail server is down"),
    ev.QueueDraining("ada", "moving hosts"),
    ev.QueueResumed("ada", "it is up"),
    ev.QueueConfigured("ada", "fewer", {"concurrency": 5, "rate": None}),
    ev.QueuePurged("ada", "a loop", 12),
    ev.ScheduleCreated("ada", "asked for", "nightly", {"cron": "0 3 * * *"}),
    ev.ScheduleUpdated("ada", "earlier", "nightly", {"cron": "0 2 * * *"}),
    ev.SchedulePaused("ada", "holidays", "nightly"),
    ev.ScheduleResumed("ada", "back", "nightly"),
    ev.ScheduleDeleted("ada", "not needed", "nightly"),
    ev.ScheduleFired("nightly", 1_750_000_000_000, "0197a5c0-0000-7000-8000-000000000001", "due"),
    ev.ScheduleSkipped("nightly", 1_750_000_000_000, "missed", 3, 1_750_000_120_000),
    ev.WorkerStarted("host-1-abc", ["email.send", "noop"]),
    ev.WorkerStopped("host-1-abc"),
    ev.JobCheckpointed(
        step="charge",
        result=wrap({"receipt": 2**63}),
        wake_at=1_750_000_000_000,
        job_id="0197a5c0-0000-7000-8000-000000000001",
    ),
    ev.JobCrashed("host-1-abc", 2, "killed by SIGSEGV"),
    ev.JobDiscarded("ada", "old news", "0f343b0931126a20f133d67c2b018a3b"),
    ev.JobJoined(1_750_000_000_000),
    ev.JobExtended(["0197a5c0-0000-7000-8000-000000000001"]),
    ev.JobClosed("ada", "all are in"),
    ev.JobProgressed(0.4, "2 of 5 “pages”"),
    ev.WorkerLost("host-1-abc"),
    ev.QueueRestored("ada", "disk died", 1, 4100, 4123, 2),
]

# Fields that later releases added to an event: a body with them is a golden file of its own.
ADDED: dict[str, ev.Event] = {
    "job.submitted.1.flow": ev.JobSubmitted(
        type="email.send",
        on_parent_failure="wait",
        flow="0197a5c0-0000-7000-8000-000000000002",
        depends_on=["0197a5c0-0000-7000-8000-000000000001"],
        open=True,
    ),
    "job.failed.1.parent": ev.JobFailed(
        "parent_failed",
        ev.Fault("parent_failed", "job 1, which it depends on, failed"),
        "0197a5c0-0000-7000-8000-000000000001",
    ),
    "schedule.created.1.declared": ev.ScheduleCreated(
        actor="worker host-1-abc",
        reason="declared in code",
        schedule="nightly",
        spec={"name": "nightly", "type": "report", "cron": "0 3 * * *"},
        digest="0f343b0931126a20f133d67c2b018a3b",
    ),
    "schedule.fired.1.by": ev.ScheduleFired(
        schedule="nightly",
        occurrence=1_750_000_000_000,
        job_id="0197a5c0-0000-7000-8000-000000000001",
        cause="manual",
        actor="ada",
        reason="the report is needed now",
    ),
    "job.crashed.1.later": ev.JobCrashed("host-1-abc", 2, "killed by SIGSEGV", 2000),
    "worker.stopped.1.why": ev.WorkerStopped("host-1-abc", "memory"),
    "job.redriven.1.later": ev.JobRedriven(
        actor="ada",
        reason="mail server is back",
        run_at=1_750_000_000_000,
        command="0f343b0931126a20f133d67c2b018a3b",
    ),
    "job.submitted.1.list": ev.JobSubmitted(
        type="email.send", backoff=Backoff("list", delays=(1, 10, 60))
    ),
    "job.submitted.1.keys": ev.JobSubmitted(
        type="email.send",
        concurrency_key="tenant-7",
        rate_key="smtp",
        lock="0f343b0931126a20f133d67c2b018a3b",
        lock_scope="period",
        lock_ms=60_000,
        schedule="nightly",
        occurrence=1_750_000_000_000,
    ),
}

LEAST: list[ev.Event] = [
    ev.JobSubmitted("noop"),
    ev.JobSucceeded(Data()),
    ev.JobAttemptFailed(ev.Fault("E", "")),
    ev.JobFailed("expired"),
    ev.JobReleased("drain"),
    ev.JobCancelRequested(),
    ev.JobCancelled(),
    ev.JobRedriven(),
    ev.WorkerStarted("w"),
    ev.JobCheckpointed("é"),
    ev.JobDiscarded(),
    ev.JobJoined(),
    ev.JobClosed(),
    ev.JobProgressed(0.0),
]

SAMPLES: dict[str, ev.Event] = {
    **{f"{event.name}.{event.schema}.full": event for event in FULL},
    **{f"{event.name}.{event.schema}.least": event for event in LEAST},
    **ADDED,
}
"""Name of its golden file → event. A new schema adds samples and files; none is ever changed."""
