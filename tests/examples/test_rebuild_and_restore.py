"""What docs/rebuild.md and docs/restore.md show is run as it stands there, on real servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.core import config
from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.ids import new_ids
from millstream.core.queue import new_job
from tests.cli.pages import DOCS, run_script, scripts
from tests.projections.stage import (
    Log,
    all_records,
    projecting,
    require_fold,
    until,
    until_seq,
    work,
)


def environ(settings: Settings) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return kept | config.as_environ(settings)


def script(page: str, words: str) -> str:
    """The one script of a page that has these words in it."""
    [found] = [one for one in scripts(page) if words in one]
    return found


async def archived(settings: Settings, log: Log, pool: Any) -> list[ev.Record]:
    records = await all_records(log)
    async with projecting(settings):
        await until_seq(pool, records[-1].seq)
    return records


async def test_the_tables_are_rebuilt_and_the_old_ones_dropped(
    settings: Settings, log: Log, pool: Any, tmp_path: Path
) -> None:
    await work(log, 60)
    records = await archived(settings, log, pool)
    printed = run_script(script("rebuild.md", "--drop-old"), tmp_path, environ(settings))
    *lines, last = printed.splitlines()
    assert [msgspec.json.decode(line)["phase"] for line in lines][-1] == "done"
    assert last == "dropped the old tables"
    await require_fold(settings.postgres_dsn, records)


async def test_the_projection_of_the_page_counts_tags(
    settings: Settings, log: Log, pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "rebuild.md").read_text(), re.DOTALL)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tables.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    await log.redis.sadd(log.keys.queues, log.partition)
    for tags in (["a"], ["a", "b"]):
        spec = ev.JobSubmitted("t", payload=wrap(1), tags=tags)
        await log.queue.submit([new_job(job, spec) for job in new_ids(log.partition, 1)])
    await archived(settings, log, pool)
    project, rebuild = script("rebuild.md", "millstream project").splitlines(keepends=True)
    command = [sys.executable, "-m", "millstream.cli", *project.split()[1:]]
    process = await asyncio.create_subprocess_exec(*command, env=environ(settings))
    try:
        assert await until(lambda: _counted(pool)) == {"a": 2, "b": 1}
        run_script(rebuild, tmp_path, environ(settings))
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert await _counted(pool) == {"a": 2, "b": 1}


async def _counted(pool: Any) -> dict[str, int]:
    if not await pool.fetchval("SELECT to_regclass('per_tag') IS NOT NULL"):
        return {}
    return dict(await pool.fetch("SELECT tag, jobs FROM per_tag"))


async def test_redis_is_restored_as_the_page_says(
    settings: Settings, log: Log, pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await work(log, 60)
    records = await archived(settings, log, pool)
    await log.redis.flushall()
    (tmp_path / "positions.txt").write_text(f"{records[-1].position}\ndefault:1:999999\n")
    told = msgspec.json.decode(
        run_script(script("restore.md", "--acknowledged"), tmp_path, environ(settings))
    )
    assert told["acknowledged"] == ["default:1:999999"]
    run_script(script("restore.md", "disk of redis-1"), tmp_path, environ(settings))
    (report,) = msgspec.json.decode((tmp_path / "restore.json").read_bytes())["partitions"]
    assert report["archived"] == records[-1].position
    (first,) = [one for one in await all_records(log) if one.type == "queue.restored"]
    assert b"disk of redis-1 died" in first.body
    assert (await log.queue.claim("w", 1)).leases


async def test_postgres_is_restored_as_the_page_says(
    settings: Settings, log: Log, pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("audit-1", "audit-2"):
        await work(log, 20)
        run_script(f"millstream events export --out {folder}\n", tmp_path, environ(settings))
    exported = len(await all_records(log))
    await work(log, 60)
    records = await all_records(log)
    first = records[exported + 10]
    await log.redis.xtrim(log.keys.log("default"), minid=first.entry, approximate=False)
    shown = script("restore.md", "millstream import").splitlines(keepends=True)
    assert shown.pop() == "millstream projector\n"  # which does not end: it is run here instead
    run_script("".join(shown), tmp_path, environ(settings))
    with pytest.raises(
        AssertionError, match=f"default:1:{exported + 1} to default:1:{exported + 10}"
    ):
        run_script("millstream restore --dry-run\n", tmp_path, environ(settings))
    run_script("millstream restore --declare-gaps --reason 'none'\n", tmp_path, environ(settings))
    async with projecting(settings):
        await until_seq(pool, records[-1].seq)
    assert tuple(await pool.fetchrow("SELECT first, last FROM log_gaps")) == (
        exported + 1,
        exported + 10,
    )
