"""The handlers of docs/executors.md in a real worker, and what the page says of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import psutil
import pytest

from millstream.consumers import executor
from millstream.consumers.loading import load_apps
from millstream.consumers.processes import child, pool
from millstream.consumers.threads import MOST
from millstream.consumers.worker import GIVE_IN, Worker
from millstream.core.config import Settings, load
from millstream.core.embedded.process import is_alive
from tests.consumers.conftest import Bench, bench, until

from .pages import app_of

__all__ = ["bench"]

PAGE = (Path(__file__).parents[2] / "docs" / "executors.md").read_text()


@pytest.fixture
def app(tmp_path: Path) -> str:
    return app_of("executors.md", tmp_path)


async def test_its_handlers_run_where_it_says(bench: Bench, app: str) -> None:
    registry = load_apps([app])
    executors = {handler.type: handler.executor for handler in registry}
    assert executors.items() >= {"ping": "loop", "resize": "thread", "derive": "process"}.items()
    worker = Worker(bench.settings(processes=1), registry, [app])
    bench.workers.append(worker)
    await worker.start()
    done = {
        "ping": await bench.submit("ping", "mill-1"),
        "resize": await bench.submit("resize", "cat"),
        "derive": await bench.submit("derive", "secret"),
    }
    for job in done.values():
        assert (await bench.ended(job))[-1] == "succeeded"
    derived = hashlib.pbkdf2_hmac("sha256", b"secret", done["derive"].encode(), 200_000).hex()
    assert (await bench.last(done["derive"]))["result"]["data"] == derived
    assert (await bench.last(done["ping"]))["result"]["data"] == "mill-1 is there"
    started = [one.pid for one in psutil.Process().children() if is_process(one)]
    assert len(started) == 1
    await worker.close()
    await until(lambda: not is_alive(started[0]))


def is_process(one: psutil.Process) -> bool:
    return "millstream.consumers.processes.program" in " ".join(one.cmdline())


def test_its_numbers_are_those_there_are() -> None:
    settings = Settings()
    assert f"at most {MOST} |" in PAGE
    assert f"among the {MOST} threads" in PAGE
    assert f"killed after {child.MERCY:g} s at the latest" in PAGE
    assert f"the verdict after its cleanup, or {executor.STUBBORN:g} s" in PAGE
    assert f"the same, {GIVE_IN:g} s; then killed" in PAGE
    assert f"that has waited for {pool.PATIENCE:g} seconds is handed back" in PAGE
    assert (child.BEGIN_SECONDS, "not begun after ten seconds is killed" in PAGE) == (10, True)
    assert (pool.IDLE_SECONDS, "for five minutes" in PAGE) == (300, True)
    assert f"th (default {settings.max_crashes})" in PAGE
    for name in set(re.findall(r"`(MILLSTREAM_[A-Z_]+)[`=]", PAGE)):
        load({name: "1000"})
