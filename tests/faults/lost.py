"""A queue with something of everything, lost and brought back within a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings, as_environ
from millstream.core.events import Command
from millstream.core.ids import new_ids
from millstream.core.limits import QueueLimits, bounds_of, changed
from millstream.core.log import LogReader
from millstream.core.queue import Finish, Redrive, new_job
from millstream.core.schedule_store import PartitionSchedules
from millstream.core.schedules import Schedule
from millstream.core.unique import Unique, lock_of
from millstream.projections.restore.course import restore
from millstream.projections.restore.report import PartitionReport, Report
from tests.projections.stage import Log, until

BY = Command("ada", "disk died")


async def run(settings: Settings, **more: Any) -> Report:
    return await restore(settings, by=BY, dry_run=more.pop("dry_run", False), **more)


async def restored(settings: Settings, **more: Any) -> PartitionReport:
    (report,) = (await run(settings, **more)).partitions
    return report


RESTORE = """
import asyncio, os, signal
from millstream.core import config, restoring
from millstream.core.events import Command
from millstream.projections.restore import course, links, making, partition

links.BATCH = making.BATCH = 2
left = {times}

def fatal(step):
    async def call(*args, **named):
        global left
        left -= 1
        if left < 0 and {before}:
            os.kill(os.getpid(), signal.SIGKILL)
        said = await step(*args, **named)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return said
    return call

for owner in (restoring.PartitionRestore, partition.PartitionCourse, partition, course):
    if hasattr(owner, {step!r}):
        setattr(owner, {step!r}, fatal(getattr(owner, {step!r})))
        break
by = Command("ada", "disk died")
asyncio.run(course.restore(config.load(), by=by, dry_run=False))
"""


async def killed_restore(settings: Settings, point: str) -> None:
    """Begin a restore in a process that is killed (SIGKILL) at a point, such as "before begin" or
    "after 2 make" (when it has made two batches)."""
    moment, *times, step = point.split()
    script = RESTORE.format(
        step=step, before=moment == "before", times=int(times[0]) - 1 if times else 0
    )
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=environ | as_environ(settings)
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL, f"it did not come to {point}"


async def submit(log: Log, count: int, **spec: Any) -> list[str]:
    ids = list(new_ids(log.partition, count))
    given: dict[str, Any] = {"type": "t", "payload": wrap({"n": 1})}
    body = ev.JobSubmitted(**(given | spec))
    await log.queue.submit([new_job(job, body) for job in ids])
    return ids


async def succeed(log: Log, leases: Any) -> list[bool]:
    done = ev.body_of(ev.JobSucceeded(wrap("ok")))
    return await log.queue.finish([Finish(one.id, one.fence, "succeeded", done) for one in leases])


async def drain(log: Log) -> list[str]:
    """Run all that may run; which jobs that were."""
    ran: list[str] = []
    while leases := (await log.queue.claim("drain", 50)).leases:
        assert all(await succeed(log, leases))
        ran += [one.id for one in leases]
    return ran


async def archived(log: Log, pool: Any) -> int:
    """Wait until all of the log is archived; its last seq."""
    head = await LogReader(log.redis, log.keys).head(log.partition)

    async def there() -> bool:
        row = await pool.fetchrow("SELECT epoch, seq FROM checkpoints WHERE partition = $1",
                                  log.partition)  # fmt: skip
        return row is not None and tuple(row) == (head.epoch, head.seq)

    await until(there)
    return head.seq


async def halted(log: Log) -> str:
    """Wait until the queue says that it is lost; why."""

    async def said() -> str | None:
        return (await LogReader(log.redis, log.keys).head(log.partition)).lost

    return await until(said)


async def in_every_state(log: Log) -> dict[str, list[str]]:
    """Jobs in every state there is, with locks, steps, limits and schedules."""
    queue = log.queue
    made: dict[str, list[str]] = {}
    limits = msgspec.convert({"types": {"tight": {"concurrency": 1}}}, QueueLimits)
    await queue.configure(ev.QueueConfigured("ada", "", changed(limits)), bounds_of(limits))
    made["done"] = await submit(log, 5)
    assert all(await succeed(log, (await queue.claim("w", 5)).leases))
    made["failing"] = await submit(log, 4)
    first, *rest = (await queue.claim("w", 4)).leases
    fault = ev.Fault("E", "no")
    retry = ev.body_of(ev.JobAttemptFailed(fault, 10**7))
    last, end = ev.body_of(ev.JobAttemptFailed(fault)), ev.body_of(ev.JobFailed("exhausted"))
    assert all(
        await queue.finish(
            [
                Finish(first.id, first.fence, "retry", retry, 10**7),
                *(Finish(one.id, one.fence, "failed", last, 0, end) for one in rest),
            ]
        )
    )
    redriven = [Redrive(one.id, 5, one.fence + 2, one.spec, delay)
                for one, delay in zip(rest[:2], (0, 10**7), strict=True)]  # fmt: skip
    assert await queue.redrive(redriven, BY) == ["queued", "scheduled"]
    made["later"] = await submit(log, 3, delay_ms=10**7)
    made["running"] = await submit(log, 3, priority=0, type="stepped")
    leases = (await queue.claim("w", 3)).leases
    step = ev.body_of(ev.JobCheckpointed("charge", wrap({"receipt": 2**63})))
    assert (
        await queue._run("checkpoint", [100, leases[0].id, leases[0].fence, "charge", step])
    ) == [1]
    assert await queue.cancel([leases[2].id], BY) == ["requested"]
    made["tight"] = await submit(log, 3, type="tight", priority=1)
    assert len((await queue.claim("w", 1)).leases) == 1
    lock = lock_of("t", b"1", Unique())
    made["locked"] = await submit(log, 1, lock=lock, lock_scope="unfinished", payload=wrap(1))
    timed = {"lock": lock_of("t", b"2", Unique(scope="period", period=600)), "lock_scope": "period"}
    made["timed"] = await submit(log, 1, lock_ms=600_000, payload=wrap(2), priority=0, **timed)
    assert await succeed(log, (await queue.claim("w", 1)).leases) == [True]
    schedules = PartitionSchedules(queue, log.redis, log.keys)
    now = (await queue.inspect()).now
    for name in ("hourly", "resting", "gone"):
        given = Schedule(name=name, type="t", every=3600.0)
        await schedules.put(given, BY, now=now)
    await schedules.pause("resting", BY)
    await schedules.delete("gone", BY)
    made["waiting"] = await submit(log, 20)
    return made


async def copy(log: Log) -> dict[bytes, bytes]:
    """All that Redis holds."""
    return {key: await log.redis.dump(key) async for key in log.redis.scan_iter()}


async def bring_back(log: Log, dump: Any) -> None:
    """Make Redis hold that and nothing else."""
    await log.redis.flushall()
    for key, value in dump.items():
        await log.redis.restore(key, 0, value)
