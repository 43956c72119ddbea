"""Reading logs in order, and noticing what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.core.connection import connect, connect_blocking
from millstream.core.errors import LogGap, Unavailable
from millstream.core.events import JobSubmitted, Record
from millstream.core.ids import new_ids
from millstream.core.keys import Keys
from millstream.core.log import START, Head, LogReader, check_contiguous, read_entry
from millstream.core.queue import PartitionQueue, new_job

KEYS = Keys()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = connect(redis_url, timeout=10)
    yield client
    await client.aclose()


async def submit(redis: Any, partition: str, count: int) -> list[str]:
    ids = list(new_ids(partition, count))
    jobs = [new_job(id, JobSubmitted("noop")) for id in ids]
    await PartitionQueue(redis, partition, KEYS).submit(jobs)
    return ids


async def test_records_as_they_were_written(redis: Any) -> None:
    (job,) = await submit(redis, "mail.v2-x", 1)
    (record,) = await LogReader(redis, KEYS).range("mail.v2-x")
    assert (record.partition, record.seq, record.epoch) == ("mail.v2-x", 1, 1)
    assert (record.type, record.job, record.version) == ("job.submitted", job, 1)
    assert record.body == b'{"type":"noop"}'
    assert record.entry == f"{record.time}-0"
    assert record.position == "mail.v2-x:1:1"


async def test_reading_on_in_pieces(redis: Any) -> None:
    ids = await submit(redis, "default", 10)
    reader, after, seen = LogReader(redis, KEYS), START, list[Record]()
    while found := await reader.read({"default": after}, 3):
        seen += found["default"]
        after = seen[-1].entry
        assert len(found["default"]) <= 3
    assert [record.job for record in seen] == ids
    check_contiguous(seen, 0)


async def test_several_partitions_at_once(redis: Any) -> None:
    one, other = await submit(redis, "one", 2), await submit(redis, "other", 3)
    reader = LogReader(redis, KEYS)
    found = await reader.read({"one": START, "other": START, "empty": START}, 100)
    assert {name: [record.job for record in records] for name, records in found.items()} == {
        "one": one,
        "other": other,
    }
    assert await reader.read({}, 100) == {}
    assert await reader.read({"empty": START}, 100) == {}


async def test_waiting_for_the_next(redis: Any, redis_url: str) -> None:
    client = connect_blocking(redis_url, block=5, timeout=5)
    try:
        reader = LogReader(client, KEYS)
        waiting = asyncio.ensure_future(reader.read({"default": START}, 10, block_ms=5000))
        async with asyncio.timeout(10):
            while not (await redis.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0)
        (job,) = await submit(redis, "default", 1)
        assert [record.job for record in (await waiting)["default"]] == [job]
        assert await reader.read({"default": "9999999999999-0"}, 10, block_ms=1) == {}
    finally:
        await client.aclose()


async def test_ranges(redis: Any) -> None:
    await submit(redis, "default", 5)
    reader = LogReader(redis, KEYS)
    whole = await reader.range("default")
    assert await reader.range("default", whole[1].entry, whole[3].entry) == whole[1:4]
    assert await reader.range("default", f"({whole[1].entry}", count=2) == whole[2:4]
    assert await reader.range("nobody") == []


async def test_where_a_log_stands(redis: Any) -> None:
    reader = LogReader(redis, KEYS)
    assert await reader.head("default") == Head(1, 0, 0)
    await submit(redis, "default", 5)
    await PartitionQueue(redis, "default", KEYS).trim(3, 1)
    assert await reader.head("default") == Head(1, 5, 3)


def test_stream_ids_of_any_width() -> None:
    fields = [
        b"seq",
        b"7",
        b"epoch",
        b"2",
        b"type",
        b"t",
        b"job",
        b"",
        b"version",
        b"0",
        b"body",
        b"{}",
    ]
    for entry in ("1750000000000-0", "1750000000000-12345", "5-9"):
        record = read_entry("q", entry.encode(), fields)
        assert (record.time, record.entry) == (int(entry.split("-")[0]), entry)
        assert (record.seq, record.epoch, record.job, record.version) == (7, 2, "", 0)


def records(*seqs: int) -> list[Record]:
    return [Record("default", seq, 1, "t", "", 0, b"{}", 5, f"5-{seq}") for seq in seqs]


def test_a_log_without_gaps() -> None:
    check_contiguous([], 7)
    check_contiguous(records(8, 9, 10), 7)


@pytest.mark.parametrize(
    ("seqs", "expected", "found"),
    [((9,), 8, 9), ((8, 10), 9, 10), ((8, 8), 9, 8), ((7,), 8, 7), ((8, 9, 1), 10, 1)],
)
def test_a_gap_is_named(seqs: tuple[int, ...], expected: int, found: int) -> None:
    with pytest.raises(LogGap, match=f"log of default: expected seq {expected}, got: seq {found}"):
        check_contiguous(records(*seqs), 7)


def test_the_end_of_a_log_before_it_is_expected() -> None:
    gap = LogGap("default", 8, None)
    assert str(gap) == "log of default: expected seq 8, got: the end of the log"
    assert (gap.partition, gap.expected, gap.found) == ("default", 8, None)


async def test_a_server_that_is_not_there() -> None:
    client = connect("redis://127.0.0.1:1/0", timeout=1)
    reader = LogReader(client, KEYS)
    for call in (reader.range("default"), reader.head("default"), reader.read({"a": START}, 1)):
        with pytest.raises(Unavailable):
            await call
    await client.aclose()
