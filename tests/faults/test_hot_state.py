"""A partition that holds every kind of key, before it was lost and after it was restored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.hot import _HEADER
from millstream.core.ids import new_id
from millstream.core.linking import Outcome
from millstream.core.progressing import new_told
from millstream.core.queue import Directory, Finish, new_job
from millstream.core.schedule_index import Schedules
from millstream.core.subjects import SubjectKeys, Wrapped
from millstream.projections import linker, subject_keys
from tests.projections.stage import Log, projecting

from .lost import BY, archived, bring_back, copy, in_every_state, restored, submit, succeed

AGAIN = {
    "job", "ready", "due", "steps", "parents", "dependents", "awaited", "ended", "serving", "types",
    "unique", "limits", "schedule", "schedule_due", "meta", "ms:queues", "ms:types", "ms:schedules",
    "ms:scheduled", "ms:linked", "ms:subjects", "ms:subject_keys",
}  # fmt: skip
"""Kinds of keys that a restore makes again."""

NOT_AGAIN = {
    "log": "begins anew, with the new epoch",
    "once": "not archived: docs/restore.md",
    "ms:idempotency": "not archived: docs/restore.md",
    "ms:workers": "workers report by themselves",
    "ms:worker": "workers report by themselves",
    "ms:takes": "workers tell it with their reports",
    "bell": "rung once",
    "running": "places at limits are asked for again",
    "parked": "places at limits are asked for again",
    "blocked": "places at limits are asked for again",
    "gates": "places at limits are asked for again",
    "timers": "rates begin anew",
    "rate": "rates begin anew",
    "gone": "for who reads tables that lag, and they do not",
    "early": "for who is not there yet, or open: looked after by who asks the tables",
}
"""Those that it does not, and why."""

Kinds = dict[str, dict[str, Any]]


async def read_all(redis: Any, base: str) -> Kinds:
    """Kind → the rest of the key's name → its value."""
    found: Kinds = {}
    async for raw in redis.scan_iter(count=1000):
        name = raw.decode()
        inner = name.startswith(base)
        kind, _, rest = name.removeprefix(f"{base}:" if inner else "ms:").partition(":")
        found.setdefault(kind if inner else f"ms:{kind}", {})[rest] = await _value(redis, raw)
    return found


async def _value(redis: Any, key: bytes) -> Any:
    match (await redis.type(key)).decode():
        case "hash":
            return await redis.hgetall(key)
        case "set":
            return await redis.smembers(key)
        case "zset":
            return dict(await redis.zrange(key, 0, -1, withscores=True))
        case "stream":
            return [fields for _, fields in await redis.execute_command("XRANGE", key, "-", "+")]
        case "list":
            return await redis.lrange(key, 0, -1)
        case _:
            return await redis.get(key)


async def fill(log: Log, pool: Any) -> tuple[dict[str, list[str]], str]:
    """Jobs in every state; and the one that was erased of two subjects."""
    made = await in_every_state(log)
    queue, redis, keys = log.queue, log.redis, log.keys
    await queue.announce(ev.WorkerStarted("w", ["t", "tight"]), {"t": {}, "tight": {}})
    directory = Directory(redis, keys)
    await directory.announce_types({"t": {}, "tight": {}})
    for name in ("hourly", "resting"):
        await Schedules(redis, keys, directory).register(name, log.partition)
    await queue.announce(ev.WorkerStarted("left", ["t"]))
    await queue.announce(ev.WorkerStopped("left"))
    await redis.sadd(keys.linked, log.partition)
    await redis.set(keys.request("d"), b"agreed", px=10**6)
    await _crash(log, made)
    await _families(log, made)
    wrapped = [Wrapped("ada", "k1", b"secret"), Wrapped("bob", "k2", b"other")]
    published = SubjectKeys(redis, keys)
    await published.publish(await subject_keys.add(pool, wrapped))
    return made, (await subject_keys.erase(pool, "bob", "ada", "asked"))[0]


async def _crash(log: Log, made: dict[str, list[str]]) -> None:
    """One that has crashed, and told how far it was."""
    made["crashed"] = await submit(log, 1, priority=0)
    (lease,) = (await log.queue.claim("w", 1)).leases
    assert lease.id == made["crashed"][0]
    assert await log.queue.progress([new_told(lease.id, lease.fence, ev.JobProgressed(0.5))]) == [1]
    body = ev.body_of(ev.JobCrashed("w", 1, "killed by SIGSEGV"))
    assert await log.queue.finish([Finish(lease.id, lease.fence, "crashed", body)]) == [True]


async def _families(log: Log, made: dict[str, list[str]]) -> None:
    """Jobs that wait: for one that lives, for one that ended, for more to come, for a time."""
    for label, ends in (("waits", False), ("untold", True)):
        parent, child = new_id(log.partition), new_id(log.partition)
        spec = ev.JobSubmitted("t", depends_on=[parent], on_parent_failure="wait", delay_ms=10**7)
        first = ev.JobSubmitted("t", priority=0 if ends else 5)
        await log.queue.submit([new_job(parent, first)._replace(before=[f"{child}*"])])
        await log.queue.submit([new_job(child, spec)])
        made[label] = [parent, child]
    leases = (await log.queue.claim("w", 2)).leases
    assert [one.id for one in leases] == [made["crashed"][0], made["untold"][0]]
    assert await succeed(log, leases[1:]) == [True]
    again = ev.body_of(ev.JobReleased("drain"))
    assert await log.queue.finish([Finish(leases[0].id, leases[0].fence, "released", again)])
    whole = new_id(log.partition)
    await log.queue.submit([new_job(whole, ev.JobSubmitted("t", open=True))])
    assert await log.queue.extend(whole, made["waits"][:1], {}) == "extended"
    await log.queue.watch([(made["waits"][0], whole)])
    made["open"] = [whole]
    assert await log.queue.set_mode("paused", BY)


def headers(kinds: Kinds) -> dict[str, tuple[Any, ...]]:
    """What headers say but for where an entry stands, and which fence it gives."""
    found: dict[str, tuple[Any, ...]] = {}
    for job, raw in kinds["job"].items():
        state, priority, flags, crashes, tries, version, _, expires, entry = _HEADER.unpack_from(
            raw
        )
        due = entry if state == 6 else b""
        spec = raw[_HEADER.size :]
        found[job] = state, priority, flags, crashes, tries, version, expires, due, spec
    return found


def ends(kinds: Kinds) -> set[tuple[str, Outcome]]:
    """What the outbox tells of whom."""
    return {
        (fields[3].decode(), fields[1].decode()) for fields in kinds.get("ended", {}).get("", [])
    }


@pytest.mark.parametrize("how", ["flushed", "older"])
async def test_every_kind_of_key_is_as_it_was(
    settings: Settings, log: Log, pool: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker, "SWEEP", 3600.0)  # it would tell who is not to be told yet
    base = log.keys.base(log.partition)
    async with projecting(settings):
        made, erased = await fill(log, pool)
        keys = SubjectKeys(log.redis, log.keys)
        older = await copy(log)
        if how == "older":
            await log.queue.submit([new_job(new_id(log.partition), ev.JobSubmitted("t"))])
        await keys.erase("bob", [erased])
        assert await subject_keys.rewrap(pool, [("k1", b"secret", b"anew")]) == 1
        await keys.rewrap([Wrapped("ada", "k1", b"anew")])
        await archived(log, pool)
        before = await read_all(log.redis, base)
    unknown = set(before) - AGAIN - set(NOT_AGAIN)
    assert not unknown, "a kind of key that a restore was never told of"
    missing = AGAIN - set(before)
    assert not missing, "this test proves nothing of them"
    if how == "older":
        await bring_back(log, older)
    else:
        await log.redis.flushall()
    report = await restored(settings)
    after = await read_all(log.redis, base)
    begun = {"log", "bell", "gone"}  # of what ends by the restore
    assert {kind for kind in after if not kind.startswith("ms:")} <= AGAIN | begun
    for kind in ("steps", "parents", "unique", "limits", "serving", "schedule", "schedule_due",
                 "ms:queues", "ms:schedules", "ms:scheduled", "ms:linked", "ms:subjects",
                 "ms:subject_keys"):  # fmt: skip
        assert after[kind] == before[kind], kind
    for kind in ("types", "ms:types"):
        assert set(after[kind][""]) == set(before[kind][""]), kind
    assert after["ms:subject_keys"][""][erased.encode()] == b""
    assert before["meta"][""][b"mode"] == after["meta"][""][b"mode"] == b"paused"
    assert set(after["dependents"][""]) == set(before["dependents"][""])
    assert after["awaited"] == before["awaited"]
    assert ends(after) >= ends(before) != set()
    assert set(after["due"][""]) == set(before["due"][""])
    for job, at in after["due"][""].items():
        assert abs(at - before["due"][""][job]) < 1000
    _same_jobs(before, after, report)
    waited = {*made["waiting"], *made["locked"]}
    for lane in before["ready"]:
        old, new = ([f[1].decode() for f in kinds["ready"][lane]] for kinds in (before, after))
        assert set(old) - set(report.jobs.ended) <= set(new)
        assert [job for job in old if job in waited] == [job for job in new if job in waited]


def _same_jobs(before: Kinds, after: Kinds, report: Any) -> None:
    old, new = headers(before), headers(after)
    assert set(old) - set(report.jobs.ended) == set(new)
    ran = set(report.jobs.released)
    for job, header in new.items():
        was = old[job]
        if job in ran or was[0] == 3:  # it ran, or waited at a limit: it is queued
            assert header[0] == 2
            continue
        assert header == was, job
    crashed = [header[3] for header in new.values() if header[3]]
    assert crashed == [1], "it is a suspect still"
    assert msgspec.json.encode(report)


async def test_who_waits_for_a_job_that_was_discarded_is_told_after_the_restore(
    settings: Settings, log: Log, pool: Any
) -> None:
    parent, child = new_id(log.partition), new_id(log.partition)
    spec = ev.JobSubmitted("t", depends_on=[parent], on_parent_failure="wait")
    async with projecting(settings):
        await log.queue.submit(
            [new_job(parent, ev.JobSubmitted("t"))._replace(before=[f"{child}*"])]
        )
        await log.queue.submit([new_job(child, spec)])
        (lease,) = (await log.queue.claim("w", 1)).leases
        attempt = ev.body_of(ev.JobAttemptFailed(ev.Fault("E", "it broke")))
        end = ev.body_of(ev.JobFailed("exhausted"))
        assert await log.queue.finish([Finish(parent, lease.fence, "failed", attempt, 0, end)])
        version = lease.fence + 2
        assert await log.queue.discard([(parent, version)], ev.JobDiscarded("ada")) == ["discarded"]
        await archived(log, pool)
    await log.redis.flushall()
    await restored(settings)
    after = await read_all(log.redis, log.keys.base(log.partition))
    assert ends(after) == {(child, f"{parent} discarded")}
    assert "awaited" not in after, "nobody waits for it to be run again"
