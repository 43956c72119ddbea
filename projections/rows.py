"""Jobs and records as rows of the tables, and back."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec

from ..core.codec import Data, encode
from ..core.events import Fault, Record
from ..core.jobs import Job, JobState, Progress

EVENT_COLUMNS = (
    "time", "seq", "epoch", "version", "job", "partition", "entry", "type", "body", "raw",
)  # fmt: skip

NEW_COLUMNS = (
    "id", "submitted_at", "run_at", "ready_at", "started_at", "finished_at", "expires_at", "seq",
    "epoch", "version", "attempt", "max_attempts", "crashes", "priority", "cancel_requested",
    "queue", "type", "state", "worker", "failure", "error_text", "payload_codec", "result_codec",
    "payload", "result", "error", "metadata", "tags", "blocked_on", "concurrency_key", "rate_key",
    "schedule", "occurrence", "flow", "on_parent_failure", "fingerprint", "discarded", "command",
    "progress",
)  # fmt: skip
"""Columns of `jobs` in the order of `new_row`."""

CHANGED_COLUMNS = (
    "id", "state", "version", "epoch", "seq", "attempt", "crashes", "cancel_requested", "run_at",
    "ready_at", "started_at", "finished_at", "expires_at", "worker", "failure", "error_text",
    "error", "result", "result_codec", "blocked_on", "fingerprint", "discarded", "command",
    "progress",
)  # fmt: skip
"""Columns of `jobs` that can change, in the order of `changed_row`."""

ERROR_TEXT_MAX = 2000

_fault = msgspec.json.Decoder(Fault).decode
_progress = msgspec.json.Decoder(Progress).decode
_metadata = msgspec.json.Decoder(dict[str, str]).decode
_record = msgspec.json.Decoder(Record).decode


def event_rows(records: Sequence[Record], raw: Container[int]) -> Iterator[tuple[Any, ...]]:
    """Rows of the archive; those whose seq is in `raw` go in as they are, in one column."""
    for r in records:
        head = (r.time, r.seq, r.epoch)
        if r.seq in raw:
            yield (*head, 0, None, r.partition, r.entry, "", None, encode(r))
        else:
            yield (*head, r.version, r.job or None, r.partition, r.entry, r.type, r.body, None)


def read_record(row: Any) -> Record:
    """The record of a row of the archive."""
    if row["raw"] is not None:
        return _record(row["raw"])
    return Record(
        row["partition"],
        row["seq"],
        row["epoch"],
        row["type"],
        "" if row["job"] is None else str(row["job"]),
        row["version"],
        row["body"],
        row["time"],
        row["entry"],
    )


def new_row(job: Job) -> tuple[Any, ...]:
    """A row for `jobs`, in the order of NEW_COLUMNS."""
    result, error = job.result, job.error
    return (
        job.id,
        job.submitted_at,
        job.run_at,
        job.ready_at,
        job.started_at,
        job.finished_at,
        job.expires_at,
        job.seq,
        job.epoch,
        job.version,
        job.attempt,
        job.max_attempts,
        job.crashes,
        job.priority,
        job.cancel_requested,
        job.queue,
        job.type,
        job.state.value,
        job.worker,
        job.failure,
        None if error is None else error_text(error),
        _codec(job.payload),
        None if result is None else _codec(result),
        job.payload.data,
        None if result is None else result.data,
        None if error is None else encode(error),
        encode(job.metadata) if job.metadata else None,
        job.tags or None,
        job.blocked_on,
        job.concurrency_key,
        job.rate_key,
        job.schedule,
        job.occurrence,
        job.flow,
        job.on_parent_failure,
        job.fingerprint,
        job.discarded,
        job.command,
        None if job.progress is None else encode(job.progress),
    )


def changed_row(job: Job) -> tuple[Any, ...]:
    """What can change of a job, in the order of CHANGED_COLUMNS."""
    result, error = job.result, job.error
    return (
        job.id,
        job.state.value,
        job.version,
        job.epoch,
        job.seq,
        job.attempt,
        job.crashes,
        job.cancel_requested,
        job.run_at,
        job.ready_at,
        job.started_at,
        job.finished_at,
        job.expires_at,
        job.worker,
        job.failure,
        None if error is None else error_text(error),
        None if error is None else encode(error),
        None if result is None else result.data,
        None if result is None else _codec(result),
        job.blocked_on,
        job.fingerprint,
        job.discarded,
        job.command,
        None if job.progress is None else encode(job.progress),
    )


def spec_row(job: Job) -> tuple[Any, ...]:
    """What another spec changes besides, as replace_spec.sql takes it."""
    return (
        job.id,
        job.type,
        job.priority,
        job.max_attempts,
        _codec(job.payload),
        job.payload.data,
        encode(job.metadata) if job.metadata else None,
        job.tags or None,
        job.concurrency_key,
        job.rate_key,
        job.schedule,
        job.occurrence,
        job.flow,
        job.on_parent_failure,
    )


def read_job(row: Any) -> Job:
    """The job of a whole row."""
    job = read_slim_job(row)
    job.payload = Data(msgspec.Raw(row["payload"]), row["payload_codec"] or "json")
    job.metadata = {} if row["metadata"] is None else _metadata(row["metadata"])
    job.tags = row["tags"] or []
    job.blocked_on = row["blocked_on"]
    job.concurrency_key = row["concurrency_key"]
    job.rate_key = row["rate_key"]
    job.schedule = row["schedule"]
    job.occurrence = row["occurrence"]
    job.on_parent_failure = row["on_parent_failure"]
    return job


def read_slim_job(row: Any) -> Job:
    """The job of a row without payload, metadata and tags."""
    result, error, progress = row["result"], row["error"], row["progress"]
    return Job(
        id=str(row["id"]),
        queue=row["queue"],
        type=row["type"],
        state=JobState(row["state"]),
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        crashes=row["crashes"],
        result=None if result is None else Data(msgspec.Raw(result), row["result_codec"] or "json"),
        error=None if error is None else _fault(error),
        failure=row["failure"],
        submitted_at=row["submitted_at"],
        run_at=row["run_at"],
        ready_at=row["ready_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        expires_at=row["expires_at"],
        worker=row["worker"],
        cancel_requested=row["cancel_requested"],
        flow=None if row["flow"] is None else str(row["flow"]),
        fingerprint=row["fingerprint"],
        discarded=row["discarded"],
        command=row["command"],
        progress=None if progress is None else _progress(progress),
        version=row["version"],
        epoch=row["epoch"],
        seq=row["seq"],
    )


def error_text(error: Fault) -> str:
    """What a search in errors looks at. Text in PostgreSQL cannot hold NUL."""
    return f"{error.type}: {error.message}"[:ERROR_TEXT_MAX].replace("\0", "")


def _codec(data: Data) -> str | None:
    return None if data.codec == "json" else data.codec
