"""`millstream retention`: drop what is older than it is to be kept, now."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import rich_click as click

from . import options
from .output import print_json


@click.command("retention")
@click.option("--dry-run", is_flag=True, help="Only say how many would be dropped.")
@options.data_option
def command(dry_run: bool, data: Path | None) -> None:
    """Drop jobs that ended long ago, their events and old statistics, now.

    How long is said by MILLSTREAM_RETENTION (`*:90,emails:7`: days after the end of a job, by
    queue) and MILLSTREAM_RETENTION_STATISTICS. The projector does the same every hour.

    \b
    MILLSTREAM_RETENTION='*:90' millstream retention --dry-run
    """
    with options.connected(options.load(), data) as found:
        from ..projections.retention import Policy, drop_expired

        policy = Policy.of(found)
        if policy.nothing:
            raise click.UsageError("expected MILLSTREAM_RETENTION: all is kept for ever without it")
        now = time.time_ns() // 1_000_000
        dropped = asyncio.run(drop_expired(found.postgres_dsn, policy, now, dry_run=dry_run))
    print_json(msgspec.json.encode({"dry_run": dry_run, **dropped._asdict()}))
