"""Logging: structlog for ours, and the libraries' stdlib logging (uvicorn, asyncpg) through it.

One JSON object per line when stderr is no terminal (or when asked for), coloured text otherwise.
Passwords in URLs are masked in every value, tracebacks included.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog

from .config_values import redact

_Event = MutableMapping[str, Any]
_LOUD = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "asyncpg", "litestar")


def configure(
    level: str = "info",
    format: Literal["auto", "json", "console"] = "auto",
    *,
    role: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up both structlog and stdlib logging. Call once, at the start of a process."""
    target: TextIO = sys.stderr if stream is None else stream
    as_json = format == "json" or (format == "auto" and not target.isatty())
    shared = _processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    if role is not None:
        structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_json() if as_json else _console()),
            ],
        )
    )
    _take_over(handler, level)


def _processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _json() -> list[Any]:
    return [structlog.processors.format_exc_info, _mask, _encode]


def _console() -> list[Any]:
    return [structlog.processors.format_exc_info, _mask, structlog.dev.ConsoleRenderer()]


def _mask(_logger: Any, _method: str, event: _Event) -> _Event:
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {str(key): _masked(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(item) for item in value]
        case _:  # a struct would be encoded field by field, past the masking in its repr
            return redact(repr(value))


def _encode(_logger: Any, _method: str, event: _Event) -> str:
    return msgspec.json.encode(event).decode()


def _take_over(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
