"""Brings a database to the schema of this release.

Each file of sql/migrations is applied once, in order, in a transaction of its own together with
its line in `schema_migrations`. What was applied must never change: its hash is compared.
"""

import hashlib
from importlib.resources import files
from typing import Any, NamedTuple

from ..core.errors import MillstreamError
from .connection import connect_once, translated

_LOCK = 0x6D696C6C  # "mill": every process that migrates takes the same advisory lock
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class SchemaMismatch(MillstreamError):
    """The database's history of migrations is not the one this release knows."""


class Migration(NamedTuple):
    """One file of sql/migrations."""

    name: str
    source: str

    @property
    def sha256(self) -> str:
        """Hash of its text."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def known() -> list[Migration]:
    """All migrations of this release, in order."""
    folder = files("millstream.sql") / "migrations"
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return sorted(Migration(entry.name.removesuffix(".sql"), entry.read_text()) for entry in found)


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing; returns the names applied now, in order.

    Safe to run several times and several at once. Raises Unavailable, or SchemaMismatch if the
    database was migrated by a later release or by one whose files read otherwise.
    """
    connection = await connect_once(dsn, timeout=600, role="migrate")
    try:
        with translated():
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            await connection.execute(_TABLE)
            return await _apply(connection, known())
    finally:
        connection.terminate()  # releases the lock, however this ends


async def _apply(connection: Any, migrations: list[Migration]) -> list[str]:
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    pending = plan({row["name"]: row["sha256"] for row in rows}, migrations)
    for migration in pending:
        async with connection.transaction():
            await connection.execute(migration.source)
            await connection.execute(
                "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)",
                migration.name,
                migration.sha256,
            )
    return [migration.name for migration in pending]


def plan(applied: dict[str, str], migrations: list[Migration]) -> list[Migration]:
    """Which of `migrations` are to be applied where `applied` (name → hash) were.

    Raises SchemaMismatch if that history is not the beginning of ours.
    """
    ours = {migration.name: migration for migration in migrations}
    for name in sorted(applied):
        if name not in ours:
            raise SchemaMismatch(
                f"the database has migration {name}, which this release does not know:"
                f" expected one of {', '.join(ours)}"
            )
        if applied[name] != ours[name].sha256:
            raise SchemaMismatch(
                f"migration {name} was changed after it was applied:"
                f" expected sha256 {applied[name]}, got: {ours[name].sha256}"
            )
    pending = [migration for migration in migrations if migration.name not in applied]
    if applied and pending and pending[0].name < max(applied):
        raise SchemaMismatch(
            f"migration {pending[0].name} comes before {max(applied)}, which was applied already"
        )
    return pending
