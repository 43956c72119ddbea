"""The auditor's connection: pages of live jobs in, findings out. Errors: Unavailable."""

import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ...core.codec import encode
from ...core.jobs import JobState
from ..connection import connect_once, translated
from ..statements import statement
from ..tables import STATEMENT_TIMEOUT, columns
from .findings import Found
from .rules import KINDS

NOTE_EVERY = 10.0
"""Seconds after which it is said again that all is as it was."""

_LOCK = 0x6C69766500  # "live": one auditor does for any number of projectors


class Row(NamedTuple):
    """A live job as the tables know it."""

    id: str
    queue: str
    version: int


class Known(NamedTuple):
    """A job that lives by the tables: its version there, and how far they are."""

    version: int
    epoch: int
    seq: int


class Store:
    """Made again after any trouble; the lock is held as long as the connection."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None
        self._chosen = False
        self._noted: dict[str, tuple[Any, ...]] = {}
        self._noted_at = 0.0

    def close(self) -> None:
        """Give connection and lock up."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        self._chosen = False

    async def chosen(self) -> bool:
        """Whether this is the one auditor."""
        if not self._chosen:
            (row,) = await self._run("SELECT pg_try_advisory_lock($1) AS got", _LOCK)
            self._chosen = row["got"]
        return self._chosen

    async def page(self, state: JobState, after: str, limit: int) -> list[Row]:
        """Live jobs of a state by id."""
        rows = await self._run(statement("conservation_page"), state.value, after, limit)
        return [Row(str(row["id"]), row["queue"], row["version"]) for row in rows]

    async def known(self, jobs: Collection[str]) -> dict[str, Known]:
        """Those of the jobs that live by the tables as they are now."""
        rows = await self._run(statement("conservation_suspects"), list(jobs))
        return {str(row["id"]): Known(row["version"], row["epoch"], row["seq"]) for row in rows}

    async def ended_twice(self) -> list[tuple[str, str]]:
        """Partition and id of jobs that were told to end a second time."""
        rows = await self._run(statement("conservation_ended_twice"))
        return [(row["partition"], str(row["id"])) for row in rows]

    async def note(self, found: Found) -> None:
        """Show what was found; what is as it was is written again only now and then."""
        rows = [
            (one.partition, one.jobs, *(one.counts[kind] for kind in KINDS), encode(one.first))
            for one in found.shown()
        ]
        now = time.monotonic()
        if now - self._noted_at > NOTE_EVERY:
            self._noted, self._noted_at = {}, now
        fresh = [row for row in rows if self._noted.get(row[0]) != row]
        if fresh:
            await self._run(statement("conservation_note"), *columns(fresh))
            self._noted.update((row[0], row) for row in fresh)

    async def _run(self, sql: str, *args: Any) -> Sequence[Any]:
        try:
            with translated():
                if self._connection is None or self._connection.is_closed():
                    self._chosen = False
                    self._connection = await connect_once(
                        self._dsn, timeout=STATEMENT_TIMEOUT, role="auditor"
                    )
                return await self._connection.fetch(sql, *args)
        except BaseException:
            self.close()
            raise
