"""Jobs that handlers submit: options as the API names them, the same job for the same place."""

import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
from msgspec import Meta, Struct

from ..core.codec import encode
from ..core.config import Settings
from ..core.encryption import SubjectKey
from ..core.errors import IdTaken, InvalidName, MillstreamError
from ..core.events import JobSubmitted
from ..core.ids import is_id, new_id
from ..core.keys import check_job_type, check_limit_key, check_queue
from ..core.linking import MAX_PARENTS, ParentPolicy
from ..core.nesting import deeper_than
from ..core.queue import Directory, new_job
from ..core.retry import MAX_ATTEMPTS, MAX_DELAY, Backoff
from ..core.schedules import Duration, Instant, MetadataValue, Tag
from ..core.submitting import NewJob
from ..core.unique import Unique, digest, lock_ms_of, lock_of
from .attempts import Attempt
from .errors import StepError
from .handlers import Registry
from .opening import encrypted
from .parents import watch_parents
from .patience import patiently

FRESH = 1.0
"""Seconds for which what workers announced is believed."""

KNOWN_FOR = 10.0
"""Seconds after which a queue is made known again: Redis may have lost what it knew."""


class Options(TypedDict, total=False):
    """What `ctx.submit` takes beside type and payload. Durations are seconds."""

    queue: str
    priority: int
    run_at: datetime
    delay: float | timedelta
    max_attempts: int
    backoff: Backoff
    timeout: float | timedelta
    expires_at: datetime
    tags: Sequence[str]
    metadata: dict[str, str]
    unique: Unique | dict[str, Any]
    concurrency_key: str
    rate_key: str
    depends_on: Sequence[str]
    on_parent_failure: ParentPolicy


class _Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    queue: str | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    run_at: Instant | None = None
    delay: Annotated[float, Meta(ge=0, le=MAX_DELAY)] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] | None = None
    backoff: Backoff | None = None
    timeout: Duration | None = None
    expires_at: Instant | None = None
    tags: Annotated[list[Tag], Meta(max_length=32)] = []
    metadata: Annotated[dict[Tag, MetadataValue], Meta(max_length=64)] = {}
    unique: Unique | None = None
    concurrency_key: str | None = None
    rate_key: str | None = None
    depends_on: Annotated[list[str], Meta(max_length=MAX_PARENTS)] = []
    on_parent_failure: ParentPolicy | None = None


class UnknownType(MillstreamError):
    """No worker knows the type of a job; one that does may be deployed before the next attempt."""

    def __init__(self, type: str, queue: str) -> None:
        super().__init__(
            f"submission: expected a type that a worker of queue {queue!r} knows, got {type!r}"
        )


class _Announced(Struct):
    queue: str | None = None
    max_attempts: int | None = None


class _Place(NamedTuple):
    queue: str
    max_attempts: int


class Submissions:
    """Submits jobs for the handlers of a worker."""

    def __init__(self, directory: Directory, registry: Registry, settings: Settings) -> None:
        self._directory = directory
        self._registry = registry
        self._settings = settings
        self._types: dict[str, bytes] = {}
        self._fresh_until = 0.0
        self._known_until: dict[str, float] = {}

    async def submit(
        self, attempt: Attempt, name: str, type: str, payload: Any, options: Any
    ) -> str:
        """Submit a job, once for that name in the life of the job of `attempt`; its id.

        Raises StepError for what can never be submitted; UnknownType, MemoryFull, QueueDraining.
        """
        queue, made = await self.prepare(name, type, payload, options, attempt.now(), attempt.key)
        lease = attempt.lease
        # A job whose spec was replaced is another one, although it keeps its id.
        seed = digest(b"handler", lease.id.encode(), lease.spec, name.encode())
        once = (seed, max(1, round(self._settings.idempotency_ttl * 1000)))
        return await self.send(queue, made._replace(once=once), name)

    async def prepare(
        self, name: str, type: str, payload: Any, options: Any, now: float,
        key: SubjectKey | None = None,
    ) -> tuple[str, NewJob]:  # fmt: skip
        """The queue of a job, and the job but for its id. Raises as `submit`; `now` in ms.

        `key`: of the subject it is about.
        """
        given = _read(name, type, options)
        raw = self._payload(name, type, payload)
        place = await self._place(type, given)
        _check_horizon(name, given, now + self._settings.max_horizon_days * 86_400_000)
        if key is not None and given.unique is not None and given.unique.key is None:
            raise StepError(_about(name), "a key for unique: what is encrypted has none", "none")
        policy = "keep" if given.unique is None else given.unique.policy
        made = new_job("", _spec(type, raw, given, place, now, key))
        return place.queue, made._replace(policy=policy)

    async def send(self, queue: str, job: NewJob, name: str) -> str:
        """Submit a prepared job; the id of the job that stands for it."""
        await self._register(queue)
        verbs = self._directory.queue(queue)
        while True:
            made, command = job._replace(id=new_id(queue)), uuid.uuid4().hex
            if job.spec.depends_on:
                made = made._replace(
                    ended=await watch_parents(self._directory, made, queue, _about(name))
                )
            try:
                receipt = await patiently("a job", lambda: verbs.submit([made], command))  # noqa: B023
            except IdTaken:
                continue  # with a new id; it was bad luck
            return receipt.stands([made.id])[0].id

    async def _register(self, queue: str) -> None:
        if time.monotonic() > self._known_until.get(queue, 0.0):
            await patiently("a queue", lambda: self._directory.register(queue))
            self._known_until[queue] = time.monotonic() + KNOWN_FOR

    def _payload(self, name: str, type: str, payload: Any) -> msgspec.Raw:
        """The payload as JSON, held against what its handler takes where that is known here."""
        about = _about(name)
        try:
            raw = msgspec.Raw(encode(payload))
        except Exception as error:  # whatever msgspec, or a property of the value, raises
            raise StepError(about, "a payload that can be JSON", error) from None
        most, depth = self._settings.max_body, self._settings.max_depth
        if len(bytes(raw)) > most:
            raise StepError(about, f"a payload of at most {most} bytes", len(bytes(raw)))
        if deeper_than(bytes(raw), depth):
            raise StepError(about, f"a payload of at most {depth} levels of nesting", "more")
        handler = self._registry.get(type)
        if handler is not None:
            try:
                handler.decode(raw)
            except Exception as error:  # of msgspec, or of a type's own __post_init__
                raise StepError(about, f"a payload as {type!r} takes it", error) from None
        return raw

    async def _place(self, type: str, given: _Given) -> _Place:
        handler = self._registry.get(type)
        if handler is not None:
            attempts = given.max_attempts or handler.max_attempts
            return _Place(given.queue or handler.queue, attempts)
        if time.monotonic() > self._fresh_until or type not in self._types:
            self._types = await patiently("a job", self._directory.types)
            self._fresh_until = time.monotonic() + FRESH
        told = _announced(self._types.get(type))
        queue = given.queue or told.queue or "default"
        if type not in self._types and self._settings.unknown_types == "refuse":
            known = await patiently("a job", lambda: self._directory.types_of(queue))
            if known and type not in known:
                raise UnknownType(type, queue)
        # Workers of earlier releases may announce more.
        attempts = min(told.max_attempts or 5, MAX_ATTEMPTS)
        return _Place(queue, given.max_attempts or attempts)


def _about(name: str) -> str:
    return f"submission {name!r}"


def _read(name: str, type: str, options: Any) -> _Given:
    about = _about(name)
    try:
        given = msgspec.convert(
            {key: _plain(value) for key, value in options.items()}, _Given, strict=True
        )
        if given.unique is not None:
            lock_ms_of(given.unique)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise StepError(about, "options as the API takes them", error) from None
    _check_names(about, type, given)
    if given.run_at is not None and given.delay is not None:
        raise StepError(about, "either run_at or delay", "both")
    _check_parents(about, given)
    return given


def _check_names(about: str, type: str, given: _Given) -> None:
    names = {"type": type, "queue": given.queue}
    names |= {"concurrency_key": given.concurrency_key, "rate_key": given.rate_key}
    for field, value in names.items():
        try:
            if field == "type":
                check_job_type(type)
            elif field == "queue" and value is not None:
                check_queue(value)
            elif value is not None:
                check_limit_key(field, value)
        except (InvalidName, TypeError) as error:
            expected = error.expected if isinstance(error, InvalidName) else "text"
            raise StepError(f"{about}: {field}", expected, repr(value)[:200]) from None


def _check_parents(about: str, given: _Given) -> None:
    for index, parent in enumerate(given.depends_on):
        if not is_id(parent):
            raise StepError(f"{about}: depends_on[{index}]", "the id of a job", parent[:80])
    if len(set(given.depends_on)) < len(given.depends_on):
        raise StepError(f"{about}: depends_on", "each job once", "one again")
    if given.on_parent_failure is not None and not given.depends_on:
        raise StepError(f"{about}: on_parent_failure", "depends_on beside it", "none")
    if given.depends_on and given.unique is not None and given.unique.policy == "replace":
        raise StepError(f"{about}: unique", "the policy keep for a job that waits", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return value


def _check_horizon(name: str, given: _Given, last: float) -> None:
    if given.run_at is not None and given.run_at.timestamp() * 1000 > last:
        raise StepError(_about(name), "a run_at that is not so far ahead", str(given.run_at))


def _spec(
    type: str, raw: msgspec.Raw, given: _Given, place: _Place, now: float, key: SubjectKey | None
) -> JobSubmitted:
    run_at = None if given.run_at is None else round(given.run_at.timestamp() * 1000)
    if run_at is not None and run_at <= now:
        run_at = None  # reached late, as after a crash: then at once
    delay_ms = round((given.delay or 0) * 1000) or None
    expires_at = None if given.expires_at is None else round(given.expires_at.timestamp() * 1000)
    unique = given.unique
    return JobSubmitted(
        type=type,
        concurrency_key=given.concurrency_key,
        rate_key=given.rate_key,
        lock=None if unique is None else lock_of(type, bytes(raw), unique),
        lock_scope=None if unique is None else unique.scope,
        lock_ms=None if unique is None else lock_ms_of(unique),
        payload=encrypted(key, "payload", bytes(raw)),
        priority=given.priority,
        max_attempts=place.max_attempts,
        backoff=given.backoff,
        timeout_ms=None if given.timeout is None else max(1, round(given.timeout * 1000)),
        delay_ms=delay_ms,
        run_at=run_at,
        expires_at=expires_at,
        tags=list(dict.fromkeys(given.tags)),
        metadata=given.metadata,
        on_parent_failure=(given.on_parent_failure or "fail") if given.depends_on else None,
        depends_on=given.depends_on,
    )


def _announced(text: bytes | None) -> _Announced:
    """What was announced; nothing if another release wrote it in a form not known here."""
    if text is None:
        return _Announced()
    try:
        found = msgspec.json.decode(text, type=_Announced)
        if found.queue is not None:
            check_queue(found.queue)
    except (msgspec.MsgspecError, InvalidName):
        return _Announced()
    return found
