"""What docs/progress.md shows is what there is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.api.views import JobView, ProgressView
from millstream.consumers import Registry
from millstream.consumers import progress as module
from millstream.consumers.progress import EVERY, MAX_MESSAGE, progress_of
from tests.consumers.conftest import Bench

PAGE = (Path(__file__).parents[2] / "docs" / "progress.md").read_text()


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    bench = Bench(redis_url)
    yield bench
    await bench.close()


async def test_its_handler_tells_how_far_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    registry = Registry()
    names: dict[str, Any] = {"__name__": "page", "registry": registry}
    code = code.replace("Context, job", "Context").replace("@job", "@registry.job")
    exec(code, names)
    await bench.worker(registry)
    job = await bench.submit("report.build", 5)
    assert (await bench.ended(job))[-1] == "succeeded"
    history = await bench.history(job)
    told = [msgspec.json.decode(one.body) for one in history if one.type == "job.progressed"]
    assert {"value": 0.4, "message": "page 3 of 5"} in told


def test_what_it_shows_is_part_of_a_job() -> None:
    [text] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = msgspec.json.decode(text, type=dict[str, ProgressView], strict=True)
    assert set(shown) <= set(JobView.__struct_fields__)
    assert (shown["progress"].value, shown["progress"].message) == (0.4, "page 3 of 5")


def test_its_words_and_bounds_are_true() -> None:
    assert progress_of(0.4, 1, "") == progress_of(2, 5, "")
    assert EVERY == 1.0
    assert f"more than {MAX_MESSAGE} characters" in PAGE
