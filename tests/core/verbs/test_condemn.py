"""A partition that was halted answers LOGLOST whatever it is asked, and opens with a new epoch."""

from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.connection import connect, connect_sync
from millstream.core.errors import LogLost
from millstream.core.events import Command, JobSubmitted, QueueRestored
from millstream.core.hot import token
from millstream.core.ids import new_ids
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.progressing import new_told
from millstream.core.queue import Directory, Finish, Redrive, new_job
from millstream.core.renewing import LeaseRenewer
from millstream.core.restoring import PartitionRestore
from millstream.core.reviving.jobs import revive
from millstream.core.stepping import new_checkpoint

ID, OTHER = new_ids("default", 2)


@pytest.fixture
async def redis(redis_url: str) -> Any:
    client = connect(redis_url, timeout=5)
    yield client
    await client.aclose()


@pytest.fixture
def queue(redis: Any) -> Any:
    return Directory(redis, Keys()).queue("default")


VERBS: dict[str, list[Any]] = {
    "submit": ["command", 1000, 1, OTHER, 5, 0, 0, '{"type":"t"}'],
    "claim": ["w", 1, 0],
    "finish": [ID, 2, "succeeded", 0, "{}", ""],
    "reap": [1000, 3, 10],
    "promote": [10],
    "cancel": ["{}", ID],
    "redrive": ["{}", OTHER, 5, 3, "{}", 0],
    "reschedule": ["{}", "+5", ID],
    "discard": ["{}", OTHER, 3],
    "mode": ["paused", "{}"],
    "purge": ["{}", "", 10, "queued", 0],
    "configure": ["{}", "c", "5"],
    "mend": [],
    "announce": ["worker.started", "{}", "w"],
    "checkpoint": [10, ID, 2, "a", "{}"],
    "schedule_put": ["s", "", "", "{}", "", "", "{}"],
    "schedule_delete": ["s", "{}"],
    "schedule_pause": ["s", "pause", "", "", "", "{}"],
    "fire": ["", 1000],
    "trim": [0, 1, ""],
}


@pytest.mark.parametrize("verb", sorted(VERBS))
async def test_halted_nothing_is_done(redis: Any, queue: Any, verb: str) -> None:
    await queue.submit([new_job(ID, JobSubmitted("t"))])
    assert await queue.condemn("the disk died")
    assert not await queue.condemn("again")
    before = await redis.dbsize(), await redis.xlen(Keys().log("default"))
    with pytest.raises(LogLost, match="the disk died"):
        await queue._run(verb, VERBS[verb])
    assert (await redis.dbsize(), await redis.xlen(Keys().log("default"))) == before
    assert (await LogReader(redis, Keys()).head("default")).lost == "the disk died"


async def test_a_new_epoch_goes_on_behind_the_archive(redis: Any, queue: Any) -> None:
    await queue.submit([new_job(ID, JobSubmitted("t"))])
    (lease,) = (await queue.claim("w", 1)).leases
    records = await LogReader(redis, Keys()).range("default")
    made = PartitionRestore(queue, redis, Keys())
    await made.condemn("the disk died")
    await made.set_aside()
    await made.begin(2, records[-1].time, QueueRestored("ada", "", 1, 2, 2))
    assert await made.make(2, [revive(records)]) == [4]
    assert await made.end(2, "") == 4
    told = await LogReader(redis, Keys()).range("default")
    assert [(one.seq, one.epoch, one.type, one.version) for one in told] == [
        (3, 2, "queue.restored", 0),
        (4, 2, "job.released", 3),
    ]
    assert told[0].time > records[-1].time
    done = [Finish(ID, lease.fence, "succeeded", ev.body_of(ev.JobSucceeded()))]
    assert await queue.finish(done) == [False], "a lease of before"
    (again,) = (await queue.claim("w", 1)).leases
    assert (again.id, again.fence, again.attempt) == (ID, token(2, 4), 1)


@pytest.mark.parametrize("verb", ["restore_begin", "restore_jobs", "restore_links", "restore_end"])
async def test_what_is_fine_is_not_restored(redis: Any, queue: Any, verb: str) -> None:
    await queue.submit([new_job(ID, JobSubmitted("t"))])
    args = {"restore_begin": [2, 1, 0, "{}"], "restore_jobs": [2], "restore_links": [2],
            "restore_end": [2, ""]}  # fmt: skip
    with pytest.raises(exceptions.ResponseError, match="INVALID"):
        await queue._run(verb, args[verb])
    assert await queue.redrive([Redrive(ID, 5, 1, b"{}")], Command()) == ["live"]


async def test_a_log_is_not_begun_over_another(settings: Settings, redis: Any, queue: Any) -> None:
    await queue.submit([new_job(ID, JobSubmitted("t"))])
    made = PartitionRestore(queue, redis, Keys())
    await made.condemn("the disk died")
    with pytest.raises(exceptions.ResponseError, match="still there"):
        await made.begin(2, 0, QueueRestored())


async def test_a_lease_that_was_not_archived_is_good_for_nothing_afterwards(
    redis: Any, queue: Any, redis_url: str
) -> None:
    """The job is at the very version again at which the lost lease began."""
    await queue.submit([new_job(ID, JobSubmitted("t"))])
    records = await LogReader(redis, Keys()).range("default")
    (lost,) = (await queue.claim("w", 1)).leases
    made = PartitionRestore(queue, redis, Keys())
    await made.condemn("the disk died")
    await made.set_aside()
    await made.begin(2, records[-1].time, QueueRestored("ada", "", 1, 1, 1))
    await made.make(2, [revive(records)])
    await made.end(2, "")
    (again,) = (await queue.claim("x", 1)).leases
    assert (lost.fence, again.fence) == (token(1, 2), token(2, 2))
    step = new_checkpoint(ID, lost.fence, ev.JobCheckpointed("charge"))
    told = new_told(ID, lost.fence, ev.JobProgressed(0.5))
    done = Finish(ID, lost.fence, "succeeded", ev.body_of(ev.JobSucceeded()))
    with connect_sync(redis_url, timeout=5) as client:
        renew = LeaseRenewer(client, Keys(), "x").renew
        assert renew("default", [(ID, lost.fence)]) == [0]
        assert renew("default", [(ID, again.fence)]) == [1]
    assert await queue.checkpoint([step]) == [0]
    assert await queue.progress([told]) == [0]
    assert await queue.finish([done]) == [False]
    assert await queue.checkpoint([step._replace(fence=again.fence)]) == [1]
    assert await queue.progress([told._replace(fence=again.fence)]) == [1]
    assert await queue.finish([done._replace(fence=again.fence)]) == [True]
