"""The short run of each `make test`: every kind of fault once, under load of every kind.

CHAOS_SEED=7 has a run again: the same load, operators and faults at the same times.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from .run import Plan, Run
from .telling import told

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chaos")]

SECONDS = 32
JOBS = 2500


async def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    given = os.environ.get("CHAOS_SEED")
    seed = int(given) if given else random.randrange(2**31)
    print(f"CHAOS_SEED={seed}")
    result = await Run(tmp_path, Plan(seed, SECONDS, JOBS), print).run()
    text = told(result)
    print(text)
    assert not result.report.violations, f"CHAOS_SEED={seed}, all is in {tmp_path}:\n{text}"
    assert len(result.report.jobs) > JOBS // 2  # some requests are given up, or came too late
    assert result.injuries
    shutil.rmtree(tmp_path)
