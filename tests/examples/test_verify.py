"""The commands of docs/verify.md, run as they stand there, on tables that are right and wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from millstream.core.config import Settings, as_environ
from millstream.projections.verify.report import Cursor
from tests.audits.broken import busy_mill, project_all

PAGE = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
PLAIN, SAMPLED, RESUMED = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()


def run(line: str, settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    name, *arguments = line.split()
    assert name == "millstream"
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return subprocess.run(
        [sys.executable, "-m", "millstream.cli", *arguments],
        env=environ | as_environ(settings), cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


async def test_the_page_is_true(redis_url: str, settings: Settings, tmp_path: Path) -> None:
    async with busy_mill(redis_url) as mill:
        connection = await project_all(mill, settings)
        done = run(PLAIN, settings, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("nothing found: ")
        await connection.execute("UPDATE jobs SET priority = 1 WHERE state = 'failed'")
        found = run(PLAIN, settings, tmp_path)
        assert found.returncode == 1
        assert "row-differs" in found.stdout
        assert "priority: expected 5, got 1" in found.stdout
        sampled = run(SAMPLED, settings, tmp_path)
        assert json.loads(sampled.stdout)["whole"] is False
        _resume(settings, tmp_path)
        await connection.close()


def _resume(settings: Settings, folder: Path) -> None:
    """A state that was left behind is gone on from, then taken away."""
    state = folder / "verify.state"
    state.write_bytes(msgspec.json.encode(Cursor(job="ffffffff-ffff-ffff-ffff-ffffffffffff")))
    done = run(RESUMED, settings, folder)
    assert done.returncode == 0, done.stdout  # the row that differs was passed already
    assert "0 jobs held against theirs" in done.stdout
    assert not state.exists()
    assert run(RESUMED, settings, folder).returncode == 1
    state.write_text("{")
    broken = run(RESUMED, settings, folder)
    assert broken.returncode == 2
    assert "--state: expected a state of this command" in broken.stderr


@pytest.mark.parametrize("share", ["0", "101", "x"])
def test_a_bad_share_is_refused(share: str, settings: Settings, tmp_path: Path) -> None:
    done = run(f"millstream verify --sample {share}", settings, tmp_path)
    assert done.returncode == 2
    assert "--sample" in done.stderr


def test_without_postgresql_it_says_so(settings: Settings, tmp_path: Path) -> None:
    away = msgspec.structs.replace(settings, postgres_dsn="postgresql://postgres@127.0.0.1:1/x")
    done = run(PLAIN, away, tmp_path)
    assert done.returncode == 4
    assert "PostgreSQL" in done.stderr
