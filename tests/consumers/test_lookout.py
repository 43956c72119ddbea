"""Workers that are gone without a word are missed by the others, once, and not too soon."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.consumers import Context, Registry, reporting
from millstream.consumers import lookout as module
from millstream.consumers.lookout import LOOKS, Lookout
from millstream.consumers.worker import Worker
from millstream.core import events as ev
from millstream.core.embedded import Valkey
from millstream.core.errors import Unavailable
from millstream.core.upcast import decode
from millstream.core.workers import KEPT, SILENT_AFTER
from millstream.core.workers import Workers as Reports
from tests.invariants import check

from .conftest import Bench, until
from .processes import Workers

APP = str(Path(__file__).with_name("process_app.py")) + ":registry"


@pytest.fixture
def workers(bench: Bench, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(bench, tmp_path, APP)
    yield workers
    workers.end()


@pytest.fixture(autouse=True)
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test, however slow it is, decides how often a worker has looked."""
    monkeypatch.setattr(module, "LOOK_EVERY", 3600.0)


@pytest.fixture
def often(only_when_told: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.1)


@pytest.fixture
def one_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reports when it starts, and then when the test has it report."""
    monkeypatch.setattr(reporting, "REPORT_EVERY", 3600.0)


async def told(bench: Bench, queue: str = "default") -> list[ev.Event]:
    return [decode(one) for one in await bench.queue_log(queue) if not one.job]


async def lost(bench: Bench, queue: str = "default") -> list[str]:
    return [one.worker for one in await told(bench, queue) if isinstance(one, ev.WorkerLost)]


async def silence(bench: Bench, name: str) -> None:
    """As if its last report were older than a silence may be."""
    left = round((KEPT - SILENT_AFTER - 1) * 1000)
    await bench.redis.pexpire(bench.keys.worker(name), left)


def lookout_of(worker: Worker) -> Lookout:
    return worker._lookout  # pyright: ignore[reportPrivateUsage]


async def heard(bench: Bench, count: int) -> None:
    reports = Reports(bench.redis, bench.keys)

    async def all_reported() -> bool:
        return len(await reports.present()) == count

    await until(all_reported)


async def test_a_killed_worker_is_lost_in_each_of_its_queues_once(
    bench: Bench, workers: Workers, often: None
) -> None:
    registry = Registry()

    @registry.job("t", queue="other")
    async def t(ctx: Context, payload: None) -> None: ...

    for _ in range(3):
        await bench.worker(registry, queues=("default", "other"))
    victim = await workers.start(queues=("default", "other"))
    await heard(bench, 4)
    victim.kill()
    seen = await Reports(bench.redis, bench.keys).all()
    (name,) = [one.report.name for one in seen if one.report.pid == victim.pid]
    await silence(bench, name)
    for queue in ("default", "other"):
        await until(lambda queue=queue: _is_lost(bench, name, queue))
    for _ in range(LOOKS):  # all have looked, and more than once
        await asyncio.gather(*(lookout_of(one).look() for one in bench.workers))
    assert await lost(bench) == await lost(bench, "other") == [name]
    (await check(bench.url, ["default", "other"])).require()


async def _is_lost(bench: Bench, name: str, queue: str = "default") -> bool:
    return name in await lost(bench, queue)


async def test_a_worker_is_lost_only_after_several_looks(bench: Bench, registry: Registry) -> None:
    first, second = await bench.worker(registry), await bench.worker(registry)
    await heard(bench, 2)
    await second.close()
    await silence(bench, second.name)
    for _ in range(LOOKS - 1):
        await lookout_of(first).look()
    assert await lost(bench) == []
    await lookout_of(first).look()
    assert await lost(bench) == [second.name]


async def test_a_halted_queue_keeps_no_other_from_hearing_of_it(
    bench: Bench, registry: Registry
) -> None:
    queues = ("default", *(f"q{n}" for n in range(5)))
    first = await bench.worker(registry, queues=queues)
    second = await bench.worker(registry, queues=queues)
    await heard(bench, 2)
    await second.close()
    await silence(bench, second.name)
    for queue in queues[:3]:
        await bench.directory.queue(queue).condemn("a test")
    for _ in range(LOOKS):
        await lookout_of(first).look()
    for queue in queues[3:]:
        assert await lost(bench, queue) == [second.name]


async def test_one_that_reports_meanwhile_is_not_lost(bench: Bench, registry: Registry) -> None:
    first, second = await bench.worker(registry), await bench.worker(registry)
    await heard(bench, 2)
    for _ in range(3):
        await silence(bench, second.name)
        for _ in range(LOOKS - 1):
            await lookout_of(first).look()
        await second._reporter.report()  # pyright: ignore[reportPrivateUsage]
        await lookout_of(first).look()
    assert await lost(bench) == []


async def test_a_report_that_is_gone_altogether_is_missed_too(
    bench: Bench, registry: Registry
) -> None:
    worker = await bench.worker(registry)
    await bench.queue.announce(ev.WorkerStarted("ghost-1-ab"))
    await heard(bench, 1)
    for _ in range(LOOKS):
        await lookout_of(worker).look()
    assert await lost(bench) == ["ghost-1-ab"]


async def test_who_cannot_be_heard_itself_judges_nobody(
    bench: Bench, registry: Registry, one_report: None
) -> None:
    first, second = await bench.worker(registry), await bench.worker(registry)
    await heard(bench, 2)
    await second.close()
    for one in (first, second):
        await silence(bench, one.name)
    for _ in range(LOOKS):
        with pytest.raises(Unavailable):
            await lookout_of(first).look()
    assert await lost(bench) == []


async def test_after_an_outage_of_redis_nobody_is_lost(
    bench: Bench, registry: Registry, valkey_server: Valkey, often: None, one_report: None
) -> None:
    """Whoever is heard again first must not take the others for lost."""
    for _ in range(2):
        await bench.worker(registry)
    await heard(bench, 2)
    await asyncio.to_thread(valkey_server.stop)
    await asyncio.to_thread(valkey_server.start)
    for one in bench.workers:  # as if that had taken long
        await silence(bench, one.name)
    for one in bench.workers:
        await one._reporter.report()  # pyright: ignore[reportPrivateUsage]
    await heard(bench, 2)
    for _ in range(LOOKS):
        await asyncio.gather(*(lookout_of(one).look() for one in bench.workers))
    assert await lost(bench) == []


async def test_one_that_was_stopped_and_goes_on_comes_back(
    bench: Bench, workers: Workers, registry: Registry
) -> None:
    observer = await bench.worker(registry)
    frozen = await workers.start()
    await heard(bench, 2)
    frozen.send_signal(signal.SIGSTOP)
    seen = await Reports(bench.redis, bench.keys).all()
    (name,) = [one.report.name for one in seen if one.report.pid == frozen.pid]
    await silence(bench, name)
    for _ in range(LOOKS):
        await lookout_of(observer).look()
    assert await lost(bench) == [name]
    frozen.send_signal(signal.SIGCONT)

    async def back() -> bool:
        return name in await bench.queue.serving()

    await until(back)
    kinds = [type(one) for one in await told(bench) if getattr(one, "worker", "") == name]
    assert kinds == [ev.WorkerStarted, ev.WorkerLost, ev.WorkerStarted]
    frozen.terminate()
    assert await asyncio.to_thread(frozen.wait, 60) == 0
    assert (await told(bench))[-1] == ev.WorkerStopped(name)


async def test_a_drain_that_takes_long_is_no_silence(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "REPORT_EVERY", 0.1)
    go = asyncio.Event()

    @registry.job("waits")
    async def waits(ctx: Context, payload: None) -> None:
        await go.wait()

    worker = await bench.worker(registry)
    await bench.submit("waits")
    await until(lambda: worker.slots.taken == 1)
    await heard(bench, 1)
    draining = asyncio.create_task(worker.drain(30))
    await until(lambda: worker._reporter.draining)  # pyright: ignore[reportPrivateUsage]
    await asyncio.sleep(0)
    await silence(bench, worker.name)
    await heard(bench, 1)
    go.set()
    await draining
    assert await Reports(bench.redis, bench.keys).all() == []
    assert (await told(bench))[-1] == ev.WorkerStopped(worker.name)
