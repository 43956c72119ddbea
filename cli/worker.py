"""`millstream worker`."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from . import options


@click.command("worker")
@options.app_option
@click.option(
    "--queue",
    "queues",
    multiple=True,
    help='A queue to serve, or queue:weight; "*": all. Repeatable.',
)
@click.option("--concurrency", type=int, help="Most jobs at once in this process (default 100).")
@click.option(
    "--processes", type=int, help="Most processes for jobs that run in one (default: processors)."
)
@options.data_option
def command(
    apps: tuple[str, ...],
    queues: tuple[str, ...],
    concurrency: int | None,
    processes: int | None,
    data: Path | None,
) -> None:
    """Run jobs.

    Takes jobs from its queues and runs their handlers. Needs Redis only: neither PostgreSQL nor
    the API. On SIGTERM it takes no more jobs, lets the running ones finish within
    MILLSTREAM_GRACE seconds and hands back the rest, which costs them no attempt.

    It does the same, and exits with 75, when it takes more memory than MILLSTREAM_MAX_MEMORY; and
    with 70 when it did nothing any more for MILLSTREAM_STALL_TIMEOUT seconds. Whoever supervises it
    is to start it again.

    \b
    millstream worker --app shop/jobs.py
    millstream worker --app shop.jobs --queue emails --queue default --concurrency 20
    millstream worker --app shop.jobs --queue reports --concurrency 4 --processes 4
    """
    settings = options.load(queues=queues, concurrency=concurrency, processes=processes)
    with options.role("worker", settings, data) as found:
        from ..consumers.service import serve

        sys.exit(serve(found, apps))
