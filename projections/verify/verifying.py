"""A verification: its passes one after another, on one snapshot of the database."""

from collections.abc import Callable

from ...core.errors import UnknownQueue
from ..connection import connect_once, translated
from ..queries import checkpoints
from .jobs import JobPass
from .logs import LogPass
from .report import Cursor, Outcome, Plan, Run
from .sums import check_sums

TIMEOUT = 600.0
"""Seconds a statement may take: the sums are GROUP BYs over all jobs."""

Told = Callable[[Cursor], None]


async def verify(
    dsn: str, plan: Plan, cursor: Cursor | None = None, told: Told = lambda at: None
) -> Outcome:
    """Verify, from `cursor` on if an earlier run was broken off; `told` hears of each page.

    One snapshot holds for the whole run, so that the projector may go on meanwhile. Raises
    Unavailable, UnknownQueue.
    """
    run = Run(plan, cursor or Cursor())
    if cursor is not None and (cursor.partition or cursor.job):
        run.cursor.whole = False
    connection = await connect_once(dsn, timeout=TIMEOUT, role="verify")
    try:
        with translated():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                known = await checkpoints(connection)
                for queue in set(plan.queues).difference(known):
                    raise UnknownQueue(queue, known)
                logs, jobs = LogPass(connection, run), JobPass(connection, run)
                if run.cursor.job is None:
                    async for _ in logs.pages():
                        told(run.saved())
                async for _ in jobs.pages():
                    told(run.saved())
                await check_sums(connection, run, jobs)
        return run.outcome()
    finally:
        connection.terminate()
