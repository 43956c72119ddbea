"""The handler of docs/payloads.md in a real worker, and what the page says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from millstream.api import payloads
from millstream.api.problems import MAX_FAULTS
from millstream.consumers import Registry
from millstream.consumers.loading import load_apps
from millstream.consumers.worker import Worker
from millstream.core.config import Settings, load
from millstream.core.workers import SILENT_AFTER
from tests.api.conftest import Api, problem, running
from tests.consumers.conftest import Bench, bench

from .pages import app_of

__all__ = ["bench"]

PAGE = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running(settings) as found:
        yield found


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """The registry that the page's handler is in."""
    return load_apps([app_of("payloads.md", tmp_path)])


async def test_its_handler_takes_and_refuses_what_it_says(
    api: Api, bench: Bench, registry: Registry
) -> None:
    worker = Worker(bench.settings(), registry)
    bench.workers.append(worker)
    await worker.start()
    refused, told = map(msgspec.json.decode, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    answer = problem(api.client.post("/api/v1/jobs", json=refused), 422)
    assert answer == told
    order = {"lines": [{"sku": "mill", "count": 2}, {"sku": "stone"}], "unknown": True}
    job = api.submit("order.place", payload=order)
    assert (await bench.ended(job))[-1] == "succeeded"
    assert (await bench.last(job))["result"]["data"] == 3


async def test_what_does_not_fit_any_more_fails_as_it_says(
    bench: Bench, registry: Registry
) -> None:
    await bench.worker(registry)
    job = await bench.submit("order.place", {"lines": []})
    assert (await bench.ended(job))[-1] == "failed"
    attempt, end = [msgspec.json.decode(one.body) for one in (await bench.history(job))[-2:]]
    assert attempt["error"]["type"] == "InvalidPayload"
    assert "$.lines" in attempt["error"]["message"]
    assert end["reason"] == "non_retryable"


def test_its_numbers_and_its_setting_are_those_there_are() -> None:
    assert f"within {SILENT_AFTER:g} seconds" in PAGE
    assert f"silent for {SILENT_AFTER:g} seconds" in PAGE
    assert (payloads.HEARD_WITHIN, "accepted for ten minutes" in PAGE) == (600, True)
    assert f"first {MAX_FAULTS} faults" in PAGE
    [(name, value)] = re.findall(r"`(MILLSTREAM_[A-Z_]+)=(\w+)`", PAGE)
    assert load({name: value}).check_payloads is False
    assert Settings().check_payloads is True
