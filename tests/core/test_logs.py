from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from millstream.core import logs
from millstream.core.config import Settings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_per_line_when_no_terminal(stream: io.StringIO) -> None:
    logs.configure(role="worker", stream=stream)
    structlog.get_logger("millstream.test").info("started", jobs=3)
    [line] = _lines(stream)
    assert (line["event"], line["jobs"], line["role"], line["level"]) == (
        "started", 3, "worker", "info",
    )  # fmt: skip


def test_libraries_log_in_the_same_shape(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    logging.getLogger("uvicorn.error").warning("port %d", 80)
    assert _lines(stream)[0]["event"] == "port 80"


def test_passwords_are_masked_wherever_they_appear(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    url = "redis://:hunter2@host/0"
    try:
        raise OSError(f"no answer from {url}")
    except OSError:
        structlog.get_logger("millstream.test").exception(
            "failed", url=url, settings=Settings(redis_url=url), nested={"urls": [url]}
        )
    assert "hunter2" not in stream.getvalue()
    assert "Traceback" in _lines(stream)[0]["exception"]


def test_what_is_below_the_level_is_dropped(stream: io.StringIO) -> None:
    logs.configure("warning", stream=stream)
    structlog.get_logger("millstream.test").info("quiet")
    assert stream.getvalue() == ""


def test_console_text_on_request(stream: io.StringIO) -> None:
    logs.configure(format="console", stream=stream)
    structlog.get_logger("millstream.test").info("hello", n=1)
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
