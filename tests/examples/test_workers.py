"""What docs/workers.md says is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from millstream.consumers import lookout, outcomes, watchdog
from millstream.core import config
from millstream.core.config import Settings
from millstream.core.ready import RECYCLED, STALLED
from millstream.core.workers import KEPT, REPORT_EVERY, SILENT_AFTER, STALLED_AFTER, Condition

PAGE = (Path(__file__).parents[2] / "docs" / "workers.md").read_text()


def rows(title: str) -> list[str]:
    """First cells of the table that begins with a title."""
    [table] = re.findall(rf"^\| {title} \|[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)*)", PAGE, re.MULTILINE)
    return re.findall(r"^\| `?([^|`]*?)`? \|", table, re.MULTILINE)


def test_its_states_are_those_there_are() -> None:
    assert set(rows("state")) == {*get_args(Condition), "lost"}


def test_its_exit_codes_are_true() -> None:
    assert rows("exit code") == ["0", str(STALLED), str(RECYCLED), "128 + signal"]
    assert "`worker.stopped` with its reason\n(`asked`, `memory`, `stalled`)" in PAGE


def test_its_bounds_are_true() -> None:
    assert f"every {REPORT_EVERY:g}\nseconds" in PAGE
    assert f"no report for {SILENT_AFTER:g} seconds" in PAGE
    assert f"did not look for jobs for {STALLED_AFTER:g} seconds" in PAGE
    assert KEPT == 86_400  # a day
    assert f"each {lookout.LOOK_EVERY:g} seconds" in PAGE
    assert lookout.LOOKS == 3
    assert watchdog.TELL_AFTER == 5
    settings = Settings()
    assert f"`MILLSTREAM_STALL_TIMEOUT` seconds ({settings.stall_timeout:g}; 0: never)" in PAGE
    assert settings.max_memory is None
    assert settings.handler_missing_after == 86_400
    bounds = (outcomes.MIN_RELEASE, outcomes.MAX_RELEASE, outcomes.ELSEWHERE_RELEASE)
    assert bounds == (1_000, 60_000, 2_000)
    assert "(1 to 60 seconds), or for 2 seconds at most" in PAGE


def test_its_settings_exist() -> None:
    given = dict(re.findall(r"(MILLSTREAM_[A-Z_]+)=(\S+?)`? ", PAGE.replace(".\n", " ")))
    assert given
    for name, value in given.items():
        config.load({name: value})
    for name in re.findall(r"`(MILLSTREAM_[A-Z_]+)`", PAGE):
        assert name.removeprefix("MILLSTREAM_").lower() in Settings.__struct_fields__
