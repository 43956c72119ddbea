"""Progress and workers as the command line shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.core import config
from millstream.core.config import Settings
from tests.ports import coming_port

from .commands import Commands, on_terminal
from .pages import run_script, scripts
from .roles import running
from .test_operating_commands import until

APP = """
import time
from pathlib import Path
from millstream.consumers import Context, job

@job("report.build")
def build(ctx: Context, go: str) -> None:
    ctx.progress(2, 5, message="page 3 of 5")
    while not Path(go).exists():
        time.sleep(0.01)
"""


@pytest.fixture
def millstream(settings: Settings, tmp_path: Path) -> Iterator[Commands]:
    app = tmp_path / "app.py"
    app.write_text(APP)
    settings = config.override(settings, {"port": coming_port(), "sweep": 0.2})
    with running(settings, tmp_path, str(app)):
        yield Commands(settings)


def test_a_running_job_and_who_runs_it(millstream: Commands, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = millstream.submit("report.build", str(go))["id"]

    def told() -> object:
        (shown,) = millstream.lines("jobs", "show", job)
        return shown["progress"]

    progress = until(told)
    assert (progress["value"], progress["message"]) == (0.4, "page 3 of 5")
    assert re.search(rf"{job} +running 40% ", on_terminal(millstream, "jobs"))
    assert "page 3 of 5" in on_terminal(millstream, "jobs", "show", job)
    go.touch()
    _, script = scripts("workers.md")
    script = script.replace("--queue emails", "--queue default")
    assert '"worker.started"' in run_script(script, tmp_path, millstream.environ)
