"""Archive and stream told as one, however they overlap and whatever is trimmed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core.config import Settings
from millstream.core.connection import connect, connect_blocking
from millstream.core.errors import LogGap
from millstream.core.events import Command, JobCancelled, JobSubmitted, Record
from millstream.core.ids import new_ids
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory, new_job
from millstream.projections import history, queries
from millstream.projections.history import History
from millstream.projections.service import project

PAGE = 7  # small, so that every join happens in the middle of things


class Scene:
    """Real servers, a queue to write to, and a projector that runs only while it is asked to."""

    def __init__(self, settings: Settings, redis: Any, blocking: Any, pool: asyncpg.Pool) -> None:
        self.settings = settings
        self.redis = redis
        self.keys = Keys(settings.namespace)
        self.directory = Directory(redis, self.keys)
        self.reader = LogReader(blocking, self.keys)
        self.pool = pool

    def history(self) -> History:
        return History(self.pool, self.reader, page=PAGE, block_ms=20)

    async def submit(self, count: int, queue: str = "default") -> list[str]:
        await self.directory.register(queue)
        jobs = list(new_ids(queue, count))
        await self.directory.queue(queue).submit([new_job(job, JobSubmitted("t")) for job in jobs])
        return jobs

    async def archive(self, *queues: str) -> None:
        """Run a projector until it has all there is."""
        stop = asyncio.Event()
        running = asyncio.create_task(project(self.settings, stop))
        async with asyncio.timeout(60):
            for queue in queues or ("default",):
                head = await self.reader.head(queue)
                while (await queries.checkpoints(self.pool)).get(queue, NOWHERE).seq < head.seq:
                    await asyncio.sleep(0.01)
                while (await self.reader.head(queue)).archived < head.seq:
                    await asyncio.sleep(0.01)
        stop.set()
        await running


NOWHERE = queries.Checkpoint(1, 0, "0-0", None)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Scene]:
    redis = connect(settings.redis_url, timeout=60)
    blocking = connect_blocking(settings.redis_url, block=1, timeout=60)
    pool = await queries.connect(settings)
    try:
        yield Scene(settings, redis, blocking, pool)
    finally:
        await pool.close()
        await blocking.aclose()
        await redis.aclose()


@pytest.fixture
async def scene(settings: Settings) -> AsyncIterator[Scene]:
    async with opened(settings) as scene:
        yield scene


@pytest.fixture
async def trimming(settings: Settings) -> AsyncIterator[Scene]:
    """Where the stream is cut off right behind the archive."""
    async with opened(msgspec.structs.replace(settings, log_margin=0)) as scene:
        yield scene


async def told(history: History) -> list[Record]:
    return [record async for record in history.backlog()]


def seqs(records: Sequence[Record]) -> list[int]:
    return [record.seq for record in records]


async def test_archive_and_stream_overlap_and_nothing_is_told_twice(scene: Scene) -> None:
    await scene.submit(30)
    await scene.archive()
    await scene.submit(25)
    history = scene.history()
    await history.start("default")
    records = await told(history)
    assert seqs(records) == list(range(1, 56))
    assert all(record.type == "job.submitted" for record in records)
    in_stream = await scene.reader.range("default")
    assert records == in_stream  # byte for byte, whichever side it came from


async def test_without_an_archive_the_stream_tells_all(scene: Scene) -> None:
    await scene.submit(20)
    history = scene.history()
    await history.start("default")
    assert seqs(await told(history)) == list(range(1, 21))


async def test_what_was_trimmed_is_told_from_the_archive(trimming: Scene) -> None:
    await trimming.submit(500)
    await trimming.archive()
    await trimming.submit(10)
    assert (await trimming.reader.range("default", count=1))[0].seq > 1
    history = trimming.history()
    await history.start("default")
    assert seqs(await told(history)) == list(range(1, 511))


@pytest.mark.parametrize("after", [1, 29, 30, 31, 54, 55])
async def test_it_goes_on_after_any_seq(scene: Scene, after: int) -> None:
    await scene.submit(30)
    await scene.archive()
    await scene.submit(25)
    history = scene.history()
    await history.start("default", after)
    assert seqs(await told(history)) == list(range(after + 1, 56))


async def test_partitions_are_told_by_time(scene: Scene) -> None:
    for _ in range(3):
        await scene.submit(4, "one")
        await asyncio.sleep(0.003)  # the server's clock has to move on for an order by time
        await scene.submit(4, "two")
    await scene.archive("one", "two")
    history = scene.history()
    await history.start("one")
    await history.start("two")
    records = await told(history)
    assert [record.time for record in records] == sorted(record.time for record in records)
    for partition in ("one", "two"):
        mine = [record for record in records if record.partition == partition]
        assert seqs(mine) == list(range(1, 13))


async def test_following_while_the_archive_grows_and_the_stream_is_cut(trimming: Scene) -> None:
    await trimming.submit(150)
    history = trimming.history()
    await history.start("default")
    found = await told(history)

    async def work() -> None:
        for _ in range(6):
            await trimming.submit(120)
            await trimming.archive()

    working = asyncio.create_task(work())
    async with asyncio.timeout(60):
        async for records in history.coming():
            found += records
            if working.done() and not records:
                break
    await working
    assert seqs(found) == list(range(1, 150 + 6 * 120 + 1))


async def test_a_follower_overtaken_by_the_trimming_finds_the_rest_in_the_archive(
    trimming: Scene,
) -> None:
    await trimming.submit(50)
    history = trimming.history()
    await history.start("default")
    found = await told(history)
    await trimming.submit(600)
    await trimming.archive()
    await trimming.submit(5)
    assert (await trimming.reader.range("default", count=1))[0].seq > 51
    async for records in history.coming():
        found += records
        if not records:
            break
    assert seqs(found) == list(range(1, 656))


async def test_a_missing_event_is_an_error_and_not_a_silence(scene: Scene) -> None:
    await scene.submit(20)
    entry = (await scene.reader.range("default"))[11].entry
    await scene.redis.xdel(scene.keys.log("default"), entry)
    history = scene.history()
    await history.start("default")
    with pytest.raises(LogGap, match="expected seq 12, got: seq 13"):
        await told(history)


async def test_a_log_that_ends_too_early_is_an_error(scene: Scene) -> None:
    await scene.submit(5)
    entry = (await scene.reader.range("default"))[4].entry
    await scene.redis.xdel(scene.keys.log("default"), entry)
    history = scene.history()
    await history.start("default")
    with pytest.raises(LogGap, match="expected seq 5, got: the end of the log"):
        await told(history)


async def test_the_history_of_one_job_then_what_comes(scene: Scene) -> None:
    job, other = await scene.submit(2)
    await scene.archive()
    history = scene.history()
    found = await history.start_at_job("default", job)
    assert [record.type for record in found] == ["job.submitted"]
    by = Command(actor="ada", reason="test")
    await scene.directory.queue("default").cancel([job, other], by)
    found += [record for record in await told(history) if record.job == job]
    assert [(record.type, record.version) for record in found] == [
        ("job.submitted", 1),
        ("job.cancelled", 2),
    ]


async def test_the_history_of_a_job_the_archive_has_not_seen(scene: Scene) -> None:
    (job,) = await scene.submit(1)
    history = scene.history()
    assert await history.start_at_job("default", job) == []
    assert [record.job for record in await told(history)] == [job]


async def _drop(scene: Scene, *ranges: tuple[int, int], noted: bool = True) -> None:
    """Take archived events away as retention does, and cut the stream off before them."""
    rows = await scene.pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'job_events'::regclass"
    )
    for row in rows:
        await scene.pool.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER USER")
        for first, last in ranges:
            gone = f"DELETE FROM {row['name']} WHERE seq BETWEEN {first} AND {last}"
            await scene.pool.execute(gone)
    for first, last in ranges if noted else ():
        await scene.pool.execute(
            "INSERT INTO dropped_events (partition, epoch, first_seq, last_seq)"
            " VALUES ('default', 1, $1, $2)",
            first, last,
        )  # fmt: skip


async def test_what_retention_dropped_is_no_gap(trimming: Scene) -> None:
    await trimming.submit(300)
    await trimming.archive()
    last = (await trimming.reader.range("default"))[0].seq
    await _drop(trimming, (1, 20), (21, 30), (40, 50), (60, 60))
    gone = {*range(1, 31), *range(40, 51), 60}
    for after in (0, 25, 45):
        history = trimming.history()
        await history.start("default", after)
        found = seqs(await told(history))
        assert found == [n for n in range(after + 1, 301) if n not in gone]
    assert last > 60
    await _drop(trimming, (100, 101), noted=False)
    history = trimming.history()
    await history.start("default")
    with pytest.raises(LogGap, match="expected seq 100, got: seq 102"):
        await told(history)


async def test_a_queue_of_which_all_was_dropped_has_nothing_to_tell(trimming: Scene) -> None:
    await trimming.submit(30)
    await trimming.archive()
    await _drop(trimming, (1, 30))
    await trimming.redis.xtrim(trimming.keys.log("default"), maxlen=0, approximate=False)
    history = trimming.history()
    await history.start("default")
    assert await told(history) == []


@pytest.mark.parametrize("window", [1, 3, 1000])
async def test_of_types_not_asked_for_only_some_are_told(
    trimming: Scene, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(history, "WINDOW", window)
    jobs = await trimming.submit(40)
    queue = trimming.directory.queue("default")
    await queue.cancel(jobs[10:13] + jobs[30:31], JobCancelled("ada", "a test"))
    await trimming.archive()
    await trimming.submit(5)
    some = History(trimming.pool, trimming.reader, page=PAGE, types=["job.cancelled"])
    await some.start("default")
    records = await told(some)
    assert [one.job for one in records if one.type == "job.cancelled"] == jobs[10:13] + jobs[30:31]
    assert seqs(records) == sorted(set(seqs(records)))
    assert records[-1].seq == 49
    passed = [one for one in records if one.type == "job.submitted" and one.seq <= 44]
    assert len(passed) <= -(-44 // window)


async def test_a_missing_event_is_not_passed_over_with_types_either(trimming: Scene) -> None:
    await trimming.submit(300)
    await trimming.archive()
    for (table,) in await trimming.pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'job_events'::regclass"
    ):
        await trimming.pool.execute(f"GRANT DELETE ON {table} TO CURRENT_USER")
        await trimming.pool.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        await trimming.pool.execute(f"DELETE FROM {table} WHERE seq = 20")
    some = History(trimming.pool, trimming.reader, page=PAGE, types=["job.cancelled"])
    await some.start("default")
    with pytest.raises(LogGap, match="20"):
        await told(some)
    await trimming.pool.execute(
        "INSERT INTO dropped_events (partition, epoch, first_seq, last_seq)"
        " VALUES ('default', 1, 20, 20)"
    )
    await some.start("default")
    assert seqs(await told(some))[-1] == 300
