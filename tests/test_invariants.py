"""The checker as a whole; that it finds what is broken is tested in tests/audits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.core.config import Settings
from tests import invariants
from tests.audits.broken import busy_mill, found, project_all
from tests.core.verbs.mill import Mill
from tests.invariants import check


@pytest.fixture
async def mill(redis_url: str) -> AsyncIterator[Mill]:
    async with busy_mill(redis_url) as mill:
        yield mill


async def test_a_sound_partition(mill: Mill) -> None:
    report = (await check(mill.url, ["default", "unused"], acknowledged=mill.accepted)).require()
    assert len(report.jobs) == 8
    assert await found(mill, drained=True) == {"unfinished"}


async def test_a_partition_still_written_to_is_not_judged(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = invariants.read_hot

    async def meanwhile(*args: Any) -> Any:
        await mill.submit()
        return await whole(*args)

    monkeypatch.setattr(invariants, "read_hot", meanwhile)
    monkeypatch.setattr(invariants, "ATTEMPTS", 3)
    with pytest.raises(AssertionError, match="still written to"):
        await check(mill.url, ["default"])


async def test_a_projection_that_lags_is_no_break_until_all_is_over(
    mill: Mill, settings: Settings
) -> None:
    await (await project_all(mill, settings)).close()
    await mill.submit()
    assert await found(mill, dsn=settings.postgres_dsn) == set()
    names = await found(mill, dsn=settings.postgres_dsn, drained=True)
    assert names == {"projection-behind", "unfinished"}


async def test_what_was_trimmed_is_read_from_the_archive(mill: Mill, settings: Settings) -> None:
    await (await project_all(mill, settings)).close()
    await mill.redis.xtrim(mill.keys.log("default"), maxlen=5, approximate=False)
    assert await found(mill, dsn=settings.postgres_dsn) == set()
    assert "log-starts-late" in await found(mill)
    await mill.redis.xdel(mill.keys.log("default"), (await mill.log())[1].entry)
    assert await found(mill, dsn=settings.postgres_dsn) == set()  # the archive has that too


async def test_what_is_in_neither_is_missed(mill: Mill, settings: Settings) -> None:
    await (await project_all(mill, settings)).close()
    await mill.submit(2)
    await mill.redis.xdel(mill.keys.log("default"), (await mill.log())[-2].entry)
    names = await found(mill, dsn=settings.postgres_dsn)
    assert names == {"seq-gap", "acknowledged-lost", "hot-orphan", "ready-orphan"}
