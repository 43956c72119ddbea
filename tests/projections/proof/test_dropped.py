"""An export held to its heads: what retention dropped is told apart from what was deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.export import Span
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.proof.exports import expected_of, read_events
from millstream.core.proof.verifier import Drops, Verdict, Verifier
from millstream.projections import queries
from millstream.projections.exporting import Exporter
from millstream.projections.retention import drop_expired
from tests.core.proof.makers import KEYS
from tests.projections.test_retention import DONE, MONTH, Past30, at_day

from .stage import Archive


async def exported(settings: Settings, folder: Path) -> Path:
    redis = connect(settings.redis_url, timeout=60)
    pool = await queries.connect(settings)
    try:
        keys = Keys(settings.namespace)
        head: dict[Any, Any] = {"epoch": 1, "seq": 9, "archived": 9}
        await redis.hset(keys.meta("default"), mapping=head)
        exporter = Exporter(pool, LogReader(redis, keys), folder)
        await exporter.run(await exporter.open("jsonl", "ms", Span(), ["default"]))
    finally:
        await pool.close()
        await redis.aclose()
    return folder


async def verified(archive: Archive, folder: Path) -> Verdict:
    spans, before, dropped = expected_of(folder)
    heads = await archive.heads()
    verifier = Verifier(heads, KEYS, spans=spans, before=before, drops=Drops(dropped))
    for record in read_events(folder):
        verifier.take(record)
    return verifier.close()


async def test_a_drop_is_no_deletion(archive: Archive, settings: Settings, tmp_path: Path) -> None:
    past = Past30(settings.postgres_dsn)
    await past.job(*DONE)
    await past.job(*DONE, day=40)
    await past.job(*DONE, day=41)
    await archive.seal(segment=4)
    assert (await drop_expired(past.dsn, MONTH, at_day(42))).events == 3
    verdict = await verified(archive, await exported(settings, tmp_path / "good"))
    assert verdict.sound, verdict.findings
    assert (verdict.dropped, verdict.proved) == ({"default": 3}, 6)
    (day,) = await archive.connection.fetchrow(
        "SELECT tableoid::regclass::text FROM job_events WHERE seq = 5"
    )
    await archive.connection.execute(
        f"ALTER TABLE {day} DISABLE TRIGGER USER; DELETE FROM {day} WHERE seq = 5"
    )
    verdict = await verified(archive, await exported(settings, tmp_path / "bad"))
    assert {(one.kind, one.where) for one in verdict.findings} == {("deleted", "default:1:5")}
    assert verdict.dropped == {"default": 3}
