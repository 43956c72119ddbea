"""The whole system as processes, and Redis as operators lose it: flushed, an older copy of its file
put in place, a replica promoted that lagged. The queue halts, is restored, and drained: what an
undisturbed run would have done is done, and nothing is done twice beyond what ran at the time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from millstream.core import config
from millstream.core.embedded import Valkey
from millstream.projections.verify.report import Plan
from millstream.projections.verify.verifying import verify
from tests.invariants import check

from .system import System, running, until

pytestmark = pytest.mark.slow


async def health(system: System) -> Any:
    return (await system.client.get("/api/v1/health")).json()


async def lost(system: System) -> bool:
    return any(one["lost"] for one in (await health(system))["projection"]["partitions"])


async def projected(system: System) -> bool:
    found = await health(system)
    return found["projection"]["lag"] == 0 and found["status"] == "ok"


def restore(system: System, *args: str) -> Any:
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    done = subprocess.run(
        [sys.executable, "-m", "millstream.cli", "restore", *args],
        env=environ | config.as_environ(system.settings),
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return msgspec.json.decode(done.stdout)


async def submit_many(system: System, count: int) -> None:
    for n in range(count):
        assert await system.submit("fault.slow", 0.01 * (n % 3)) is not None


async def require_all_done(system: System, again: set[str]) -> None:
    """Every acknowledged job ended, once; only `again` may have run twice."""
    await system.ended()
    await until(lambda: projected(system))
    report = await check(
        system.valkey.url, ["default"], acknowledged=system.accepted, drained=True,
        dsn=system.postgres.dsn,
    )  # fmt: skip
    report.require()
    assert set(report.reruns) <= again
    outcome = await verify(system.postgres.dsn, Plan())
    assert outcome.sound, outcome.findings


async def test_flushed_in_mid_work(folder: Path) -> None:
    async with running(folder) as system:
        await submit_many(system, 30)
        waiting = await system.submit("fault.slow", 0, delay=3600)
        assert waiting is not None
        system.accepted.remove(waiting)
        await system.ended()
        held = [await system.submit("fault.held", str(folder / "go")) for _ in range(3)]
        await system.running(*(job for job in held if job is not None))
        await until(lambda: projected(system))
        with redis.Redis.from_url(system.valkey.url) as client:
            client.flushall()
        await until(lambda: lost(system))
        assert await system.submit("fault.slow", 0) is None, "nothing is accepted"
        dry = restore(system, "--dry-run")
        assert dry["partitions"][0]["jobs"]["waiting"] == 1
        assert await lost(system)
        (found,) = restore(system, "--reason", "a test")["partitions"]
        assert found["unrecoverable"] == []
        assert set(found["jobs"]["released"]) == set(held)
        (folder / "go").touch()
        await submit_many(system, 5)
        await until(lambda: projected(system))  # and nothing that lives is lost, doubled or stuck
        client_job = await system.client.post(f"/api/v1/jobs/{waiting}/cancel")
        assert client_job.status_code == 200
        system.accepted.append(waiting)
        await require_all_done(system, set(found["jobs"]["released"]))


async def test_an_older_copy_of_the_file(folder: Path) -> None:
    async with running(folder) as system:
        await submit_many(system, 20)
        await system.ended()
        await until(lambda: projected(system))
        copy = folder / "copy"
        shutil.copytree(system.valkey.data / "appendonlydir", copy)
        await submit_many(system, 20)
        await system.ended()
        await until(lambda: projected(system))
        system.valkey.kill()
        shutil.rmtree(system.valkey.data / "appendonlydir")
        shutil.copytree(copy, system.valkey.data / "appendonlydir")
        system.valkey.start()
        await until(lambda: lost(system))
        (found,) = restore(system)["partitions"]
        assert found["unrecoverable"] == []
        await submit_many(system, 5)
        await require_all_done(system, set(found["jobs"]["released"]))


async def test_a_lagging_replica_is_promoted(folder: Path) -> None:
    async with running(folder) as system:
        replica = Valkey(folder / "b", appendfsync="always")
        replica.start()
        try:
            await _lag_and_promote(system, replica)
        finally:
            replica.stop()


async def _lag_and_promote(system: System, replica: Valkey) -> None:
    with (
        redis.Redis.from_url(replica.url, decode_responses=True) as second,
        redis.Redis.from_url(system.valkey.url, decode_responses=True) as first,
    ):
        first.config_set("repl-diskless-sync-delay", 0)
        second.config_set("masterauth", system.valkey.password)
        second.replicaof("127.0.0.1", str(system.valkey.port))
        await submit_many(system, 10)

        async def in_step() -> bool:
            info: Any = second.info("replication")
            return (
                info["master_link_status"] == "up"
                and info["slave_repl_offset"]
                == (
                    first.info("replication")["master_repl_offset"]  # type: ignore[index]
                )
            )

        await system.ended()
        await until(in_step)
        second.replicaof("NO", "ONE")  # the link is cut: from here on it lags
        await submit_many(system, 15)
        await system.ended()
        await until(lambda: projected(system))
        system.valkey.kill()
        # In its place, under its address and password, as after a failover.
        second.config_set("appendonly", "yes")
    replica.stop()
    shutil.rmtree(system.valkey.data / "appendonlydir")
    shutil.copytree(replica.data / "appendonlydir", system.valkey.data / "appendonlydir")
    system.valkey.start()
    await until(lambda: lost(system))
    (found,) = restore(system)["partitions"]
    assert found["unrecoverable"] == []
    await submit_many(system, 5)
    await require_all_done(system, set(found["jobs"]["released"]))
