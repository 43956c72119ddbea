"""A soft bound on the memory of a worker: above it the worker is to be replaced."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ..core.errors import ConfigError

LOOK_EVERY = 0.5
"""Seconds between two looks."""

_SETTING = "MILLSTREAM_MAX_MEMORY"


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def check_bound(bound: int) -> None:
    """Raises ConfigError for a bound that cannot be kept: the worker would never run a job."""
    now = resident()
    if now == 0:
        raise ConfigError(_SETTING, "a system that tells of memory in /proc", bound)
    if now >= bound:
        expected = f"more than a worker takes without jobs, {now} bytes here"
        raise ConfigError(_SETTING, expected, bound)


async def watch_memory(bound: int, above: Callable[[str], None]) -> None:
    """Look until more than `bound` bytes are in memory; then tell `above` so, once."""
    while (now := resident()) <= bound:
        await asyncio.sleep(LOOK_EVERY)
    above(f"{_SETTING} is {bound} bytes, and {now} are in memory")
