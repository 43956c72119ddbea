"""python -m tests.chaos: a run as long as one likes; see docs/chaos.md."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from pathlib import Path

import uvloop

from .judgement import Plan, Result
from .run import Run
from .telling import told


def main() -> int:
    """Run, print, and say by the exit code whether everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="default: another each time")
    parser.add_argument("--folder", type=Path, default=Path(".chaos"))
    given = parser.parse_args()
    seed = random.randrange(2**31) if given.seed is None else given.seed
    folder = given.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    print(f"CHAOS_SEED={seed}, all data in {folder}", flush=True)
    poison = max(1, round(given.minutes))
    run = Run(folder, Plan(seed, given.minutes * 60, given.jobs, poison), _say)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_stoppable(run))
    print(told(result))
    if result.report.violations:
        print(f"FAILED with CHAOS_SEED={seed}; everything is in {folder}")
    return 1 if result.report.violations else 0


async def _stoppable(run: Run) -> Result:
    """Run; SIGTERM, as Ctrl-C, leaves no process behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run.run()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
