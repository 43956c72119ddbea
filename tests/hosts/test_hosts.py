"""Workers on three hosts with addresses of their own, one of which is cut off in mid-work.

`make test-hosts` runs these: they need root, and `make test` needs none.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from millstream.core.events import ScheduleFired
from millstream.core.keys import Keys
from millstream.core.queue import Directory
from millstream.core.schedule_index import Schedules
from millstream.core.schedules import Schedule
from millstream.core.upcast import decode
from tests.core.verbs.mill import ADA

from .cluster import HOSTS, QUEUE, SLOTS, Cluster, hub, until

pytestmark = pytest.mark.hosts


@pytest.fixture
async def cluster() -> AsyncGenerator[Cluster]:
    # Not below pytest's own folder: the name of a socket may be 107 characters long.
    with tempfile.TemporaryDirectory(prefix="ms-hosts-") as name, hub(Path(name)) as (net, valkey):
        cluster = Cluster(Path(name), net, valkey)
        try:
            await cluster.start_workers()
            yield cluster
        finally:
            await cluster.aclose()


async def test_work_is_shared_by_all_hosts(cluster: Cluster) -> None:
    running = await _fill(cluster)
    jobs = await cluster.submit("host.quick", 300)
    for host in running:  # all of them begin with every slot free, at one time
        cluster.let_go(host)

    async def shared() -> bool:
        """Each host had a part. One that stood still for two seconds had none of the first 300."""
        await cluster.succeeded(jobs)
        hosts = {host for started in (await cluster.starts(jobs)).values() for host in started}
        if hosts != set(cluster.names):
            jobs.extend(await cluster.submit("host.quick", 300))
        return hosts == set(cluster.names)

    await until(shared)
    assert all(len(hosts) == 1 for hosts in (await cluster.starts(jobs)).values())
    await cluster.audit()


async def test_a_host_that_is_cut_off_is_refused_when_it_comes_back(cluster: Cluster) -> None:
    running = await _fill(cluster)
    lost = running[1]
    cluster.network.cut(1)
    # Its handlers come to their end while nobody can hear of it.
    cluster.let_go(1)
    for host in (2, 3):
        cluster.let_go(host, *running[host])
    await cluster.succeeded([*running[2], *running[3]])

    async def run_elsewhere() -> bool:
        return all(len(hosts) == 2 for hosts in (await cluster.starts(lost)).values())

    await until(run_elsewhere)

    async def done_unheard() -> bool:
        waits = "verdicts wait" in cluster.log_of(1).read_text()
        return waits and cluster.done_on(1) == set(lost)

    await until(done_unheard)

    cluster.network.join(1)
    # It says what it did before it says anything of new work, while others are at it still.
    await _serves_again(cluster, 1)
    assert await cluster.results(lost) == {job: [] for job in lost}
    cluster.let_go(2)
    cluster.let_go(3)
    await cluster.succeeded(lost)
    results = await cluster.results(lost)
    assert all(hosts in ([2], [3]) for hosts in results.values()), results
    assert cluster.workers[1].poll() is None, cluster.log_of(1).read_text()
    report = await cluster.audit()
    assert set(report.reruns) == set(lost)
    assert {report.jobs[job].crashes for job in lost} == {1}


async def test_who_is_still_at_work_when_the_host_comes_back_is_told(cluster: Cluster) -> None:
    running = await _fill(cluster)
    jobs = [job for some in running.values() for job in some]
    cluster.network.cut(1)
    cluster.let_go(2)
    cluster.let_go(3)
    await cluster.succeeded(jobs)
    cluster.network.join(1)

    async def told() -> bool:
        lines = [one for one in cluster.log_of(1).read_text().splitlines() if "lost" in one]
        return all(any(job in line for line in lines) for job in running[1])

    await until(told)
    cluster.let_go(1)
    await _serves_again(cluster, 1)
    assert all(len(accepted) == 1 for accepted in (await cluster.results(jobs)).values())
    await cluster.audit()


async def test_a_schedule_fires_once_for_each_occurrence(cluster: Cluster) -> None:
    schedules = Schedules(cluster.redis, Keys(), Directory(cluster.redis, Keys()))
    tick = Schedule(name="tick", type="host.quick", every=1, queue=QUEUE, catchup_limit=100)
    assert await schedules.put(tick, ADA) == ("created", 1)
    await _fired(cluster, 2)
    cluster.network.cut(1)
    await _fired(cluster, 5)
    cluster.network.join(1)
    await _fired(cluster, 8)
    assert await schedules.of(QUEUE).delete("tick", ADA)

    firings = await _fired(cluster, 8)
    occurrences = [one.occurrence for one in firings]
    first, last = occurrences[0], occurrences[-1]
    assert occurrences == list(range(first, last + 1, 1000)), "each once, in order, none missing"
    jobs = [one.job_id for one in firings]
    assert len(set(jobs)) == len(jobs)
    cluster.accepted += jobs
    await cluster.succeeded(jobs)
    assert all(len(hosts) == 1 for hosts in (await cluster.results(jobs)).values())
    await cluster.audit()


async def _fired(cluster: Cluster, count: int) -> list[ScheduleFired]:
    """Wait until a schedule has fired so often: all its firings."""
    found: list[ScheduleFired] = []

    async def enough() -> bool:
        events = [decode(one) for one in await cluster.log() if one.type == ScheduleFired.name]
        found[:] = [event for event in events if isinstance(event, ScheduleFired)]
        return len(found) >= count

    await until(enough)
    return found


async def _fill(cluster: Cluster) -> dict[int, list[str]]:
    """Have every slot of every host taken by a held job: host → its jobs."""
    jobs = await cluster.submit("host.held", SLOTS * HOSTS)

    async def all_run() -> bool:
        return all((await cluster.starts(jobs)).values())

    await until(all_run)
    starts = await cluster.starts(jobs)
    running = {host: [job for job in jobs if starts[job] == [host]] for host in cluster.names}
    assert all(len(held) == SLOTS for held in running.values()), running
    return running


async def _serves_again(cluster: Cluster, host: int) -> None:
    async def has_run() -> bool:
        jobs = await cluster.submit("host.quick", 30)
        await cluster.succeeded(jobs)
        return any(host in hosts for hosts in (await cluster.starts(jobs)).values())

    await until(has_run)
