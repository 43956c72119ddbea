"""The short run of each `make test`: every kind of fault once, under load of every kind.

It is the same each time: CHAOS_SEED=8 has another. How fast the machine is decides nothing here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .judgement import Plan
from .plan import KINDS, plan
from .run import Run
from .telling import told

pytestmark = pytest.mark.slow

SEED = 7
SHORT = Plan(int(os.environ.get("CHAOS_SEED", SEED)), seconds=24, jobs=1500, pause=0.7, timed=False)


def test_the_short_run_has_every_kind_of_fault() -> None:
    faults = plan(SEED, SHORT.seconds, SHORT.pause)
    assert {fault.kind for fault in faults} == set(KINDS)


async def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    result = await Run(tmp_path, SHORT, print).run()
    text = told(result)
    print(text)
    assert not result.report.violations, f"CHAOS_SEED={SHORT.seed}, all is in {tmp_path}:\n{text}"
    assert len(result.report.jobs) > SHORT.jobs // 2  # some are given up, or came too late
    assert result.injuries
    shutil.rmtree(tmp_path)
