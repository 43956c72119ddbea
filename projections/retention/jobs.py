"""Drops rows of jobs that ended long enough ago, and takes them out of the sums."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..flow_changes import FlowChange
from ..partitions import jobs_table
from ..statements import statement
from ..tables import add_flows, columns

NEVER = (1 << 63) - 1

AT_ONCE = 5_000
"""Rows deleted in one transaction: the projector waits for the sums they are taken from."""


async def drop_jobs(connection: Any, day: int, cutoffs: Mapping[str, int], *, dry: bool) -> int:
    """Drop the jobs of a day that may go; how many. The table goes too, if it is empty then."""
    given = [list(cutoffs), list(cutoffs.values())]
    table = jobs_table(day)
    if dry:
        return await connection.fetchval(_sql("count_expired_jobs", table), *given)
    whole = await _drop_table(connection, table, given)
    if whole is not None:
        return whole
    dropped = 0
    while True:
        async with connection.transaction():
            rows = await connection.fetch(_sql("expire_jobs", table), *given, AT_ONCE)
            await take_out(connection, rows)
        count = sum(row["count"] for row in rows)
        dropped += count
        if count < AT_ONCE:
            return dropped


async def _drop_table(connection: Any, table: str, given: list[Any]) -> int | None:
    """Drop the table of a day in which nothing is to stay; None: something is."""
    if await connection.fetchval(_sql("any_kept_job", table), *given):
        return None
    async with connection.transaction():
        # It can be read while it is counted, and nothing changes in it.
        await connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
        if await connection.fetchval(_sql("any_kept_job", table), *given):
            return None
        rows = await connection.fetch(_sql("group_jobs", table))
        await connection.execute(_sql("drop_links", table))
        await connection.execute(f"ALTER TABLE jobs DETACH PARTITION {table}")
        await take_out(connection, rows)
        await connection.execute(f"DROP TABLE {table}")
    return sum(row["count"] for row in rows)


async def take_out(connection: Any, rows: list[Any]) -> None:
    """Take jobs out of the sums, in the order of their keys, as the projector adds to them."""
    counts: Counter[tuple[str, ...]] = Counter()
    letters: Counter[tuple[str, ...]] = Counter()
    flows: dict[str, FlowChange] = {}
    for row in rows:
        if row["flow"] is not None:
            # Its times stay as they are.
            change = flows.setdefault(str(row["flow"]), FlowChange(NEVER, 0))
            change.jobs -= row["count"]
            change.states[row["state"]] = change.states.get(row["state"], 0) - row["count"]
        counts[row["queue"], row["type"], row["state"]] -= row["count"]
        if row["fingerprint"] is not None and not row["discarded"]:
            group = row["queue"], row["type"], row["failure"], row["fingerprint"]
            letters[group] -= row["count"]
    for name, sums in (("add_counts", counts), ("add_letters", letters)):
        if sums:
            given = columns((*key, sums[key]) for key in sorted(sums))
            await connection.fetch(statement(name), *given)
    if flows:
        await add_flows(connection, flows)
        await connection.fetch(statement("drop_empty_flows"), list(flows))


def _sql(name: str, table: str) -> str:
    return statement(name).replace(":table", table)
