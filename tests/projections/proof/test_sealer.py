"""Segments are sealed as they fill or age, by any number of sealers, in one chain."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from millstream.core.proof.heads import FIRST, event_hash
from millstream.core.proof.merkle import root, root_of_path
from millstream.projections.fold import fold
from millstream.projections.proof.seals import archived, prove
from millstream.projections.statements import statement
from millstream.projections.tables import Step
from tests.core.proof.makers import KEYS
from tests.projections.stage import life

from .stage import SUBMITTED, Archive, lives

LONG = 10.0**9


async def test_full_segments_are_sealed_and_the_rest_waits(archive: Archive) -> None:
    records = lives(4)
    await archive.add(records[:7])
    assert await archive.seal(4, LONG) == 1
    assert await archive.seal(4, LONG) == 0
    await archive.add(records[7:])
    assert await archive.seal(4, LONG) == 2
    heads = [one.head for one in await archive.heads()]
    assert [(head.number, head.first, head.last) for head in heads] == [
        (1, 1, 4), (2, 5, 8), (3, 9, 12),
    ]  # fmt: skip
    assert heads[0].previous == FIRST
    assert heads[2].root == root([event_hash(record) for record in records[8:]])
    verdict = await archive.verify()
    assert verdict.sound
    assert verdict.proved == 12


async def test_a_segment_that_is_not_full_is_closed_after_a_time(archive: Archive) -> None:
    await archive.add(lives(1))
    assert await archive.seal(100, LONG) == 0
    assert await archive.seal(100, 1) == 1  # these events are of long ago
    assert (await archive.heads())[0].head.last == 3


async def test_a_segment_is_of_one_epoch(archive: Archive) -> None:
    records = lives(2)
    await archive.add(records)
    await archive.connection.execute("UPDATE checkpoints SET epoch = 2")
    later = [msgspec.structs.replace(r, epoch=2) for r in life(99, SUBMITTED, seq=7)]
    await archive.store.tables.apply(fold(later, {}), Step("default", 2, 6, 7, later[0].entry))
    assert await archive.seal(100, LONG) == 1  # the first epoch is over
    assert await archive.seal(100, 1) == 1
    heads = [one.head for one in await archive.heads()]
    assert [(head.epoch, head.first, head.last) for head in heads] == [(1, 1, 6), (2, 7, 7)]
    assert (await archive.verify()).sound


async def test_many_sealers_make_one_chain(archive: Archive) -> None:
    await archive.add(lives(30))
    made = await asyncio.gather(*(archive.seal(4) for _ in range(4)))
    while await archive.seal(4):
        pass
    assert sum(made) <= 23
    assert [one.head.number for one in await archive.heads()] == list(range(1, 24))
    assert (await archive.verify()).sound


async def test_what_columns_cannot_hold_is_sealed_as_it_stood(archive: Archive) -> None:
    (record,) = life(1, SUBMITTED)
    odd = msgspec.structs.replace(record, seq=2, job="no\0id", type="x\0y", body=b"\xff{")
    await archive.add([record, odd])
    await archive.seal()
    (head,) = await archive.heads()
    assert head.head.root == root([event_hash(record), event_hash(odd)])


async def test_the_gap_of_an_archive_is_in_the_heads(archive: Archive) -> None:
    await archive.add(lives(2))
    await archive.seal(2)
    await archive.connection.execute(
        "ALTER TABLE job_events DISABLE TRIGGER USER; DELETE FROM job_events WHERE seq = 5"
    )
    await archive.connection.execute("ALTER TABLE seals DISABLE TRIGGER USER")
    await archive.connection.execute("DELETE FROM seals WHERE number > 1")
    await archive.seal(4)
    assert [(one.head.first, one.head.last) for one in await archive.heads()] == [
        (1, 2), (3, 4), (6, 6),
    ]  # fmt: skip


async def test_every_event_has_a_proof(archive: Archive) -> None:
    records = lives(5)
    await archive.add(records)
    await archive.seal(4, LONG)
    for record in records[:12]:
        found = await archived(archive.connection, "default", 1, record.seq)
        assert found is not None
        assert found == record
        proof = await prove(archive.connection, found)
        assert proof is not None
        assert proof.intact
        head = proof.signed.head
        path = root_of_path(event_hash(record), proof.at, head.size, proof.path)
        assert path == head.root
        assert KEYS.verify(proof.signed) is None
    assert await archived(archive.connection, "default", 1, 99) is None
    assert await prove(archive.connection, records[12]) is None  # not sealed yet


@pytest.mark.parametrize("name", ["epoch_events", "next_epoch", "seal_of_event", "seals_after"])
async def test_statements_have_their_indexes(archive: Archive, name: str) -> None:
    args = {
        "epoch_events": ("default", 1, 5, 10), "next_epoch": ("default", 0),
        "seal_of_event": ("default", 1, 5), "seals_after": ("default", 0, 10, True),
    }  # fmt: skip
    await archive.add(lives(400))
    await archive.seal(2)
    await archive.connection.execute("ANALYZE")
    sql = f"EXPLAIN {statement(name)}"
    plan = "\n".join(row[0] for row in await archive.connection.fetch(sql, *args[name]))
    assert "Index" in plan
    assert "Seq Scan" not in plan, plan
