"""The registry alone: what it takes, and what it refuses with a clear word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, HandlerError, Registry, Retry


class Mail(msgspec.Struct):
    to: str
    copies: int = 1


def test_a_handler_is_found_by_its_type_and_stays_a_plain_function(registry: Registry) -> None:
    @registry.job(
        "email.send", queue="emails", max_attempts=3, timeout=30, backoff=Backoff(delay=2)
    )
    async def send(ctx: Context, payload: Mail) -> int:
        return payload.copies

    handler = registry.get("email.send")
    assert handler is not None
    assert handler.function is send
    assert (handler.queue, handler.max_attempts, handler.timeout) == ("emails", 3, 30)
    assert handler.is_async
    assert handler.payload_type is Mail
    assert handler.result_type is int
    assert handler.decode(msgspec.Raw(b'{"to":"a"}')) == Mail("a")
    assert "email.send" in registry
    assert registry.queues == {"emails"}
    assert handler.where.startswith(__file__)


def test_what_is_announced_is_json_with_the_payload_schema(registry: Registry) -> None:
    @registry.job("email.send", timeout=1.5, backoff=Backoff(kind="fixed", delay=2))
    def send(ctx: Context, payload: Mail) -> None: ...

    handler = registry.get("email.send")
    assert handler is not None
    told = msgspec.json.decode(msgspec.json.encode(handler.announcement()))
    assert told["queue"] == "default"
    assert told["max_attempts"] == 5
    assert told["timeout"] == 1.5
    assert told["backoff"]["delay"] == 2
    assert "Mail" in told["payload_schema"]["$defs"]


def test_types_defined_where_the_handler_is_are_resolved(registry: Registry) -> None:
    class Local(msgspec.Struct):
        n: int

    @registry.job("local")
    def handle(ctx: Context, payload: Local) -> Local:
        return payload

    handler = registry.get("local")
    assert handler is not None
    assert handler.payload_type is Local


def test_without_annotations_any_json_is_taken(registry: Registry) -> None:
    @registry.job("plain")
    def handle(ctx, payload): ...  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]

    handler = registry.get("plain")
    assert handler is not None
    assert handler.decode(msgspec.Raw(b'[1, "a"]')) == [1, "a"]
    assert "payload_schema" not in handler.announcement()


def test_two_handlers_of_one_type_are_refused_naming_both(registry: Registry) -> None:
    @registry.job("twice")
    def first(ctx: Context, payload: Any) -> None: ...

    with pytest.raises(
        HandlerError, match=r"one handler per job type.*second one at .*first is at"
    ):

        @registry.job("twice")
        def second(ctx: Context, payload: Any) -> None: ...


def no_payload(ctx: Context) -> None: ...
def three(ctx: Context, payload: Any, more: Any) -> None: ...
def keyword(ctx: Context, payload: Any, *, more: Any) -> None: ...
def turned(payload: Mail, ctx: Context) -> None: ...
def unknown(ctx: Context, payload: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821
def foreign(ctx: Context, payload: Registry) -> None: ...
def foreign_result(ctx: Context, payload: Any) -> Registry: ...
async def yields(ctx: Context, payload: Any) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (no_payload, r"parameters \(ctx, payload\)"),
        (three, r"parameters \(ctx, payload\)"),
        (keyword, r"parameters \(ctx, payload\)"),
        (turned, "first parameter that takes the Context"),
        (unknown, "annotations that can be resolved.*Nowhere"),
        (foreign, r"a payload \(payload\) of a type msgspec knows.*Registry"),
        (foreign_result, "a result of a type msgspec knows.*Registry"),
        (yields, "returns its result.*yields"),
        ("text", "a function"),
    ],
)
def test_a_wrong_function_is_refused(registry: Registry, function: Any, expected: str) -> None:
    with pytest.raises(HandlerError, match=f"(?s)handler wrong: expected .*{expected}"):
        registry.job("wrong")(function)
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"type": "bad type"}, "a valid name"),
        ({"queue": "Upper"}, "a valid name"),
        ({"max_attempts": 0}, "max_attempts from 1"),
        ({"max_attempts": 1001}, "max_attempts from 1 to 1000, got: 1001"),
        ({"timeout": 0}, "a timeout of more than 0"),
        ({"timeout": float("nan")}, "a timeout of more than 0"),
        ({"timeout": "5"}, "a timeout of more than 0 seconds, at most 366 days, got: '5'"),
        ({"backoff": {"kind": "fixed"}}, r"a Backoff, such as Backoff\('fixed', delay=5\), got: {"),
        ({"backoff": 5}, "a Backoff, such as .*, got: 5"),
        (
            {"non_retryable": ("ValueError",)},
            "classes of exceptions in non_retryable, got: 'ValueErr",
        ),
        ({"non_retryable": int}, "classes of exceptions in non_retryable"),
        ({"non_retryable": (Retry,)}, "no verdict in non_retryable, got: Retry"),
    ],
)
def test_wrong_options_are_refused(
    registry: Registry, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(HandlerError, match=expected):
        registry.job(options.pop("type", "fine"), **options)(handle)


def handle(ctx: Context, payload: Any) -> None: ...


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"cron": "61 * * * *"}, "cron: expected a cron expression"),
        ({"cron": "@daily", "every": 60}, "every: expected either cron or every, got both"),
        ({"every": 0.5}, r"\$\.every"),
        ({"timezone": "Europe/Vienna"}, "cron or every beside timezone"),
        ({"cron": "@daily", "timezone": "Vienna"}, "timezone: expected an IANA name"),
        ({"schedule": {}}, "cron: expected either cron or every, got neither"),
        ({"every": 60, "schedule": {"overlapping": "skip"}}, "overlapping"),
        ({"every": 60, "schedule": {"type": "other"}}, "a schedule of the handler's type 'report'"),
        ({"every": 60, "schedule": {"queue": "q"}}, "a schedule of the handler's queue 'default'"),
        ({"every": 60, "schedule": {"payload": object()}}, "a good schedule"),
        ({"every": 60, "schedule": {"name": "a/b"}}, "name: expected 1 to 128"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_at_once(
    registry: Registry, how: dict[str, Any], said: str
) -> None:
    async def report(ctx: Context, payload: None) -> None: ...

    with pytest.raises(HandlerError, match=f"handler report: .*{said}"):
        registry.job("report", **how)(report)
    assert "report" not in registry
