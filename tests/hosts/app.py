"""Handlers the hosts run. TEST_FOLDER is a folder that all of them see."""

import asyncio
import os
from pathlib import Path

from millstream.consumers import Context, job

HOST = os.environ["TEST_HOST"]
FOLDER = Path(os.environ["TEST_FOLDER"])


@job("host.quick")
async def quick(ctx: Context, payload: None) -> str:
    """Take a moment; the result is who did it."""
    await asyncio.sleep(0.02)
    return HOST


@job("host.held")
async def held(ctx: Context, payload: None) -> str:
    """Take until the test lets this job or all of this host go, then note that it was done here."""
    go = FOLDER / f"go-{HOST}", FOLDER / f"go-{HOST}-{ctx.job_id}"
    while not any(one.exists() for one in go):
        await asyncio.sleep(0.02)
    (FOLDER / f"done-{HOST}-{ctx.job_id}").touch()
    return HOST
