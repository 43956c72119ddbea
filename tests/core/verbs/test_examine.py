"""examine and survey: where jobs stand, and what is held twice."""

from __future__ import annotations

import pytest

from millstream.core import events as ev

from .mill import ADA, Mill

pytestmark = pytest.mark.parametrize("mill", ["server"], indirect=True)  # where keys differ


async def where(mill: Mill, job: str) -> str:
    return (await mill.queue.examine([job])).places[0].where


async def test_where_jobs_stand(mill: Mill) -> None:
    before = await mill.now()
    lease = await mill.started()
    (ready,) = await mill.submit()
    at = await mill.now() + 60_000
    (due,) = await mill.submit(run_at=at)
    found = await mill.queue.examine([lease.id, ready, due, "none"])
    assert [place.where for place in found.places] == ["running", "ready", "due", "gone"]
    assert found.places[2].at == at
    assert before <= found.places[1].at <= await mill.now()
    assert (found.mode, found.epoch, found.seq) == ("", 1, len(await mill.log()))
    await mill.queue.set_mode("paused", ADA)
    assert (await mill.queue.examine([])).mode == "paused"


async def test_what_is_delivered_shows(mill: Mill) -> None:
    await mill.submit(2)
    before = (await mill.queue.examine([])).delivered
    await mill.claim(1)
    assert (await mill.queue.examine([])).delivered != before


async def test_a_job_that_waits_at_a_gate(mill: Mill) -> None:
    await mill.queue.configure(ev.QueueConfigured("ada"), {"c:slow": "1"})
    first, second = await mill.submit(2, type="slow")
    await mill.claim(2)
    assert await where(mill, first) == "running"
    assert await where(mill, second) == "parked"
    await mill.redis.hdel("{ms:default}:blocked", second)
    assert await where(mill, second) == "astray"
    mill.broken |= {"parked-differs"}


async def test_a_job_that_is_nowhere(mill: Mill) -> None:
    (ready,) = await mill.submit()
    (due,) = await mill.submit(delay_ms=60_000)
    await mill.redis.xtrim(mill.keys.ready("default", 5), maxlen=0)
    await mill.redis.delete(mill.keys.due("default"))
    assert await where(mill, ready) == "astray"
    assert await where(mill, due) == "astray"
    mill.broken |= {"ready-missing", "due-missing"}


async def test_a_survey_goes_through_all_lanes(mill: Mill) -> None:
    await mill.submit(3, priority=2)
    await mill.submit(2, priority=7)
    cursor, calls = "", 0
    while True:
        found = await mill.queue.survey(cursor, 2, 1000)
        assert (found.twice, found.overdue) == ([], [])
        calls += 1
        if not (cursor := found.cursor):
            break
    assert calls == 4  # 2 and 1 of three; of two as many as were asked for, then none


async def test_a_second_entry_is_found(mill: Mill) -> None:
    job, other = await mill.submit(2)
    await mill.redis.xadd(mill.keys.ready("default", 5), {"job": job})
    await mill.redis.xadd(mill.keys.ready("default", 5), {"job": "nobody"})
    assert (await mill.queue.survey("", 100, 1000)).twice == [job]
    await mill.claim(1)
    assert (await mill.queue.survey("", 100, 1000)).twice == [job]
    assert other
    mill.broken |= {"ready-twice", "ready-missing", "ready-orphan", "lease-missing"}


async def test_a_lease_nobody_takes_back(mill: Mill) -> None:
    lease = await mill.started()
    assert (await mill.queue.survey("", 100, 0)).overdue == [lease.id]
    assert (await mill.queue.survey("", 100, 60_000)).overdue == []


async def test_a_queue_never_used_and_one_without_a_log(mill: Mill) -> None:
    assert (await mill.queue.survey("", 100, 0)).cursor == ""
    assert await where(mill, "none") == "gone"
    (job,) = await mill.submit()
    await mill.lose_log()
    assert await where(mill, job) == "ready"
