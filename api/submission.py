"""What a client may say about a job, and the spec that makes of it. Pure.

Two steps: the shape (msgspec, from the body), then the values that depend on the clock, on bounds
and on what workers announced. Faults carry the path of the field.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..core.codec import NULL, Data
from ..core.errors import InvalidName
from ..core.events import JobSubmitted
from ..core.ids import is_id
from ..core.keys import check_job_type, check_limit_key, check_queue
from ..core.nesting import deeper_than
from ..core.retry import MAX_DELAY, Backoff
from ..core.unique import Unique, lock_ms_of, lock_of
from .fields import (
    Ack,
    Attempts,
    DependsOn,
    Instant,
    JobType,
    LimitKey,
    MetadataKey,
    MetadataValue,
    ParentFailure,
    Queue,
    Seconds,
    Subject,
    Tag,
)
from .orders import Order, Place
from .problems import Fault

MAX_BATCH = 10_000
PAST_MS = 60_000
"""How far in the past a `run_at` may lie and still mean now: clocks differ, requests take time."""


class Submission(Struct, forbid_unknown_fields=True, gc=False):
    """A job as a client submits it. Durations are seconds, times RFC 3339 with an offset.

    `payload`: where handlers of the type declare what they take (see GET /job-types), another is
    refused with 422.
    """

    type: JobType
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)
    queue: Queue | None = None
    priority: Annotated[int, Meta(ge=0, le=9, description="0 is served first.")] = 5
    run_at: Instant | None = None
    delay: Seconds | None = None
    max_attempts: Attempts | None = None
    backoff: Backoff | None = None
    timeout: Annotated[float, Meta(gt=0, le=MAX_DELAY)] | None = None
    expires_at: Instant | None = None
    tags: Annotated[list[Tag], Meta(max_length=32)] | UnsetType = UNSET
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=64)] | UnsetType = UNSET
    unique: Unique | None = None
    concurrency_key: LimitKey | None = None
    rate_key: LimitKey | None = None
    depends_on: DependsOn | UnsetType = UNSET
    on_parent_failure: ParentFailure | None = None
    subject: Subject | None = None


class LoneSubmission(Submission, gc=False):
    """A job in a request of its own."""

    ack: Ack = "memory"


class Batch(Struct, forbid_unknown_fields=True, gc=False):
    """Many jobs in one request: all are checked before any is accepted."""

    jobs: Annotated[list[Submission], Meta(min_length=1, max_length=MAX_BATCH)]
    ack: Ack = "memory"


class LooseBatch(Struct):
    """The same, not looked into: so that the faults of a bad batch can be told job by job."""

    jobs: list[msgspec.Raw]


class Accepted(Struct, gc=False):
    """What a client is told of a job that was accepted, or of the one that stands for it.

    position      of the event that gave the job its values
    state         null: it has ended
    deduplicated  the job was there before
    """

    id: str
    queue: str
    state: str | None
    position: str
    deduplicated: bool = False


class Bounds(NamedTuple):
    """What values are held against; `now` in ms since 1970."""

    now: int
    max_depth: int
    horizon_ms: int


class Defaults(NamedTuple):
    """What a job gets that does not say it itself."""

    queue: str
    max_attempts: int


class Unacceptable(Exception):
    """A value of the right shape that cannot be taken.

    deep          the payload nests too far
    unknown_type  no worker of the queue knows the job type
    """

    def __init__(
        self, field: str, message: str, *, deep: bool = False, unknown_type: bool = False
    ) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.deep = deep
        self.unknown_type = unknown_type

    def fault(self, under: str = "$") -> Fault:
        """The fault, for a job that stands at the path `under`."""
        return Fault(f"{under}.{self.field}", self.message)


decode = msgspec.json.Decoder(LoneSubmission).decode
_decode_member = msgspec.json.Decoder(Submission).decode
decode_batch = msgspec.json.Decoder(Batch).decode
decode_loosely = msgspec.json.Decoder(LooseBatch).decode


@lru_cache(8192)
def _valid_queue(name: str) -> str:
    return check_queue(name)


@lru_cache(8192)
def _valid_type(name: str) -> str:
    return check_job_type(name)


def check_names(given: Submission) -> None:
    """Refuse names that cannot be. Raises Unacceptable."""
    field = "type"
    try:
        _valid_type(given.type)
        if given.queue is not None:
            field = "queue"
            _valid_queue(given.queue)
    except InvalidName as error:
        raise Unacceptable(field, f"expected {error.expected}, got {error.given[:80]!r}") from None


def spec_of(given: Submission, defaults: Defaults, bounds: Bounds) -> JobSubmitted:
    """The spec of a submission whose names are valid. Raises Unacceptable."""
    payload = given.payload
    if deeper_than(bytes(payload), bounds.max_depth):
        message = f"expected at most {bounds.max_depth} levels of nesting"
        raise Unacceptable("payload", message, deep=True)
    run_at = delay_ms = expires_at = timeout_ms = None
    if given.delay is not None:
        delay_ms = _delay(given, bounds)
    elif given.run_at is not None:
        run_at = run_at_of(given.run_at, bounds)
    if given.expires_at is not None:
        expires_at = _expires_at(given.expires_at, run_at or bounds.now + (delay_ms or 0))
    if given.timeout is not None:
        timeout_ms = max(1, round(given.timeout * 1000))
    lock = lock_scope = lock_ms = None
    if given.unique is not None:
        if given.subject is not None and given.unique.key is None:
            message = (
                "expected a key: a digest of what is encrypted would tell of it after its erasure"
            )
            raise Unacceptable("unique.key", message)
        lock, lock_scope, lock_ms = _lock(given, given.unique)
    return JobSubmitted(
        type=given.type,
        concurrency_key=_limit_key("concurrency_key", given.concurrency_key),
        rate_key=_limit_key("rate_key", given.rate_key),
        lock=lock,
        lock_scope=lock_scope,
        lock_ms=lock_ms,
        payload=Data(payload),
        priority=given.priority,
        max_attempts=given.max_attempts or defaults.max_attempts,
        backoff=given.backoff,
        timeout_ms=timeout_ms,
        delay_ms=delay_ms,
        run_at=run_at,
        expires_at=expires_at,
        tags=[] if given.tags is UNSET else list(dict.fromkeys(given.tags)),
        metadata={} if given.metadata is UNSET else given.metadata,
        on_parent_failure=_policy(given),
        depends_on=[] if given.depends_on is UNSET else given.depends_on,
    )


def order_of(given: Submission, defaults: Defaults, bounds: Bounds) -> Order:
    """A submission as the submitter takes it. Raises Unacceptable."""
    policy = "keep" if given.unique is None else given.unique.policy
    return Order(spec_of(given, defaults, bounds), policy)


def _lock(given: Submission, unique: Unique) -> tuple[str, str, int | None]:
    try:
        lock_ms = lock_ms_of(unique)
    except ValueError as error:
        raise Unacceptable("unique.period", str(error)) from None
    return lock_of(given.type, bytes(given.payload), unique), unique.scope, lock_ms


def _policy(given: Submission) -> str | None:
    """What becomes of a job whose parents fail; None: it has none. Raises Unacceptable."""
    if given.depends_on is UNSET or not given.depends_on:
        if given.on_parent_failure is not None:
            raise Unacceptable("on_parent_failure", "expected depends_on beside it, got none")
        return None
    known: set[str] = set()
    for index, parent in enumerate(given.depends_on):
        if not is_id(parent):
            message = f"expected the id of a job, got {parent!r}"
            raise Unacceptable(f"depends_on[{index}]", message)
        if parent in known:
            raise Unacceptable(
                f"depends_on[{index}]", f"expected each job once, got {parent} again"
            )
        known.add(parent)
    if given.unique is not None and given.unique.policy == "replace":
        message = "expected keep for a job that waits for others, got replace"
        raise Unacceptable("unique.policy", message)
    return given.on_parent_failure or "fail"


def _limit_key(field: str, key: str | None) -> str | None:
    if key is None:
        return None
    try:
        return check_limit_key(field, key)
    except InvalidName as error:
        message = f"expected {error.expected}, got {error.given[:80]!r}"
        raise Unacceptable(field, message) from None


def _delay(given: Submission, bounds: Bounds) -> int | None:
    if given.run_at is not None:
        raise Unacceptable("delay", "expected either run_at or delay, got both")
    delay_ms = round((given.delay or 0) * 1000)
    if delay_ms > bounds.horizon_ms:
        raise Unacceptable("delay", f"expected at most {bounds.horizon_ms // 1000} seconds")
    return delay_ms or None


def run_at_of(given: datetime, bounds: Bounds) -> int | None:
    at = milliseconds(given)
    if at < bounds.now - PAST_MS:
        raise Unacceptable("run_at", f"expected a time to come, got {given.isoformat()}")
    if at > bounds.now + bounds.horizon_ms:
        days = bounds.horizon_ms // 86_400_000
        raise Unacceptable("run_at", f"expected at most {days} days ahead, got {given.isoformat()}")
    return at if at > bounds.now else None


def _expires_at(given: datetime, start: int) -> int:
    at = milliseconds(given)
    if at <= start:
        raise Unacceptable(
            "expires_at", f"expected a time after the job may start, got {given.isoformat()}"
        )
    return at


def milliseconds(time: datetime) -> int:
    """Whole ms since 1970 of a time that has an offset."""
    return round(time.timestamp() * 1000)


def path_of(paths: Sequence[str], index: int) -> str:
    """Where a request has the job at `index`: by default in a list `jobs`."""
    return paths[index] if paths else f"$.jobs[{index}]"


def accepted(place: Place, queue: str, spec: JobSubmitted) -> Accepted:
    """What a client is told of the job it submitted."""
    twin = place.duplicate
    if twin is not None:
        return Accepted(place.id, queue, twin.state, place.position, True)
    if spec.depends_on or spec.open:
        return Accepted(place.id, queue, "blocked", place.position)
    state = "queued" if spec.delay_ms is None and spec.run_at is None else "scheduled"
    return Accepted(place.id, queue, state, place.position)


def faults_of_batch(
    jobs: Sequence[msgspec.Raw], most: int = 20
) -> list[tuple[int, msgspec.ValidationError]]:
    """The jobs that are of the wrong shape: index and fault, the first `most` of them."""
    found: list[tuple[int, msgspec.ValidationError]] = []
    for index, raw in enumerate(jobs[:MAX_BATCH]):
        try:
            _decode_member(raw)
        except msgspec.ValidationError as error:
            found.append((index, error))
            if len(found) == most:
                break
    return found
