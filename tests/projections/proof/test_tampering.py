"""The archive is append-only for its owner, too. What gets around that is named by the verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from millstream.core.embedded import Postgres
from millstream.projections.migrations import migrate
from tests.core.proof.makers import KEYS

from .stage import Archive, lives, opened

REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)

REFUSED = {
    "update": "UPDATE job_events SET type = 'x'",
    "delete": "DELETE FROM job_events WHERE seq = 1",
    "truncate": "TRUNCATE job_events",
    "update of a day": "UPDATE {day} SET body = '1'",
    "delete of a day": "DELETE FROM {day}",
    "truncate of a day": "TRUNCATE {day}",
    "upsert": "INSERT INTO {day} SELECT * FROM {day} ON CONFLICT (partition, epoch, seq, time)"
    " DO UPDATE SET body = '1'",
    "merge": "MERGE INTO job_events e USING (SELECT 1) one ON e.seq = 2 WHEN MATCHED THEN DELETE",
    "a row again": "INSERT INTO job_events SELECT * FROM job_events WHERE seq = 2",
    "a seal": "UPDATE seals SET root = previous",
    "a seal deleted": "DELETE FROM seals",
    "seals truncated": "TRUNCATE seals",
}

UNLOCK = "ALTER TABLE {day} DISABLE TRIGGER USER; ALTER TABLE job_events DISABLE TRIGGER USER;"
GRANT = "GRANT ALL ON {day}, job_events, seals TO CURRENT_USER;"

PASSES: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "triggers disabled, a body altered": (
        GRANT + UNLOCK + "UPDATE job_events SET body = '{{\"attempt\":1,\"worker\":\"eve\"}}'"
        " WHERE seq = 5",
        {("altered", "default:1:5")},
    ),
    "triggers disabled, an event deleted": (
        GRANT + UNLOCK + "DELETE FROM job_events WHERE seq = 6",
        {("deleted", "default:1:6")},
    ),
    "two events change places": (
        GRANT + UNLOCK + "UPDATE job_events SET seq = 1000 WHERE seq = 4;"
        "UPDATE job_events SET seq = 4 WHERE seq = 7; UPDATE job_events SET seq = 7"
        " WHERE seq = 1000",
        {("altered", "default:1:4"), ("altered", "default:1:7")},
    ),
    "the end cut off": (
        GRANT + UNLOCK + "DELETE FROM job_events WHERE seq > 9",
        {("truncated", "default:1:10-12")},
    ),
    "a day detached, a row replaced, attached again": (
        GRANT + "ALTER TABLE job_events DETACH PARTITION {day};"
        "ALTER TABLE {day} DISABLE TRIGGER USER; UPDATE {day} SET version = 9 WHERE seq = 8;"
        "ALTER TABLE job_events ATTACH PARTITION {day} {bounds}",
        {("altered", "default:1:8")},
    ),
    "a day dropped": (
        "DROP TABLE {day}",
        {(kind, f"default:1:{first}-{first + 3}") for kind, first in
         (("truncated", 1), ("truncated", 5), ("truncated", 9))},
    ),
    "another event of a position": (
        "INSERT INTO job_events SELECT time + 1, seq, epoch, version, job, partition, entry, type,"
        " body, raw FROM job_events WHERE seq = 3",
        {("inserted", "default:1:3")},
    ),
    "a column converted": (
        "ALTER TABLE job_events ALTER COLUMN body TYPE json USING"
        " CASE WHEN seq = 2 THEN '{{}}'::json ELSE body END",
        {("altered", "default:1:2")},
    ),
}  # fmt: skip


@pytest.fixture
async def owned(postgres_server: Postgres) -> AsyncIterator[Archive]:
    """A sealed archive in a database whose owner is no superuser, made by that owner."""
    postgres_server.execute("CREATE ROLE miller LOGIN PASSWORD 'flour'")
    postgres_server.execute("CREATE DATABASE owned OWNER miller")
    parts = urlsplit(postgres_server.dsn_of("owned"))
    dsn = parts._replace(netloc=f"miller:flour@127.0.0.1:{parts.port}").geturl()
    try:
        await migrate(dsn)
        async with opened(dsn) as archive:
            await archive.add(lives(4))
            await archive.seal()
            assert (await archive.verify()).sound
            yield archive
    finally:
        postgres_server.execute("DROP DATABASE owned WITH (FORCE)")
        postgres_server.execute("DROP ROLE miller")


async def filled(archive: Archive, text: str) -> str:
    day, bounds = await archive.connection.fetchrow(
        "SELECT oid::regclass::text, pg_get_expr(relpartbound, oid) FROM pg_class"
        " WHERE oid = (SELECT tableoid FROM job_events LIMIT 1)"
    )
    return text.format(day=day, bounds=bounds)


@pytest.mark.parametrize("how", sorted(REFUSED))
async def test_the_owner_is_refused(owned: Archive, how: str) -> None:
    statement = await filled(owned, REFUSED[how])
    with pytest.raises(
        (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)
    ):
        await owned.connection.execute(statement)
    # And by the triggers, where the owner has given itself the privileges.
    await owned.connection.execute(await filled(owned, GRANT))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await owned.connection.execute(statement)
    assert (await owned.verify()).sound


@pytest.mark.parametrize("how", sorted(PASSES))
async def test_what_is_not_prevented_is_named(owned: Archive, how: str) -> None:
    statement, expected = PASSES[how]
    heads = await owned.heads()
    await owned.connection.execute(await filled(owned, statement))
    verdict = await owned.verify(heads)
    assert {(one.kind, one.where) for one in verdict.findings} == expected


async def test_seals_made_anew_do_not_fit_those_that_were_told(owned: Archive) -> None:
    """Who rules the database and even has the key: the heads that are elsewhere tell."""
    told = await owned.heads(leaves=False)
    statement = GRANT + UNLOCK + "ALTER TABLE seals DISABLE TRIGGER USER;"
    change = "UPDATE job_events SET type = 'job.cancelled' WHERE seq = 5; DELETE FROM seals"
    await owned.connection.execute(await filled(owned, statement + change))
    await owned.seal()
    assert (await owned.verify()).sound  # by itself it looks as it should
    verdict = await owned.verify([*told, *await owned.heads()])
    assert "forked" in verdict.counts
    assert KEYS.verify(told[0]) is None
