"""Which jobs get a process, how many there are, when one is renewed, and when all end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.consumers import HandlerError, Registry
from millstream.consumers.processes import child, pool
from millstream.consumers.processes.child import Child
from millstream.consumers.processes.line import Line
from millstream.consumers.processes.messages import Run
from millstream.consumers.worker import Worker
from millstream.core.config import Settings
from millstream.core.embedded.process import is_alive

from .conftest import Bench, until
from .isolated_app import Task, registry
from .test_processes import APP, result, serve, task

__all__ = ["task"]


async def until_released(bench: Bench, job: str) -> Any:
    """How a job was handed back for the first time."""

    async def released() -> bool:
        return "released" in await bench.types(job)

    await until(released)
    (first, *_) = [one.body for one in await bench.history(job) if one.type == "job.released"]
    return msgspec.json.decode(first)


async def test_as_many_processes_as_may_run_at_once(bench: Bench, task: Task) -> None:
    worker = Worker(bench.settings(processes=2), registry, [APP])
    bench.workers.append(worker)
    await worker.start()
    jobs = await bench.submit_many("iso.wait", [task] * 4)
    await until(lambda: len(task.told()) == 2)
    await asyncio.sleep(0.2)
    assert len(set(task.told())) == 2
    task.let_go()
    assert {await result(bench, job) for job in jobs} == set(map(int, task.told()))


async def test_a_worker_whose_jobs_need_none_starts_none(bench: Bench, task: Task) -> None:
    worker = await serve(bench)
    task.let_go()
    assert await result(bench, await bench.submit("loop.neighbour", task)) == [os.getpid(), 0]
    assert not worker._processes._all  # pyright: ignore[reportPrivateUsage]


async def test_a_process_is_renewed_after_so_many_jobs(bench: Bench) -> None:
    await serve(bench, process_max_jobs=2)
    pids = [await result(bench, await bench.submit("iso.pid")) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    await until(lambda: not is_alive(pids[0]))


async def test_a_process_is_renewed_when_it_has_grown(bench: Bench) -> None:
    await serve(bench, process_max_memory=300 * 2**20)
    pids = [await result(bench, await bench.submit("iso.grow", mb)) for mb in (1, 400, 1)]
    assert pids[0] == pids[1] != pids[2]
    await until(lambda: not is_alive(pids[0]))


async def test_a_process_without_work_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
    await serve(bench)
    pid = await result(bench, await bench.submit("iso.pid"))
    await until(lambda: not is_alive(pid))
    assert await result(bench, await bench.submit("iso.pid")) != pid


async def test_an_idle_process_that_died_costs_no_job_a_crash(bench: Bench) -> None:
    await serve(bench)
    pid = await result(bench, await bench.submit("iso.pid"))
    for _ in range(5):  # the worker may hear of it before, during, or after it sends the job
        os.kill(pid, signal.SIGKILL)
        job = await bench.submit("iso.pid")
        former, pid = pid, await result(bench, job)
        assert pid != former
        assert await bench.types(job) == ["submitted", "started", "succeeded"]


async def test_what_a_job_left_behind_cannot_hold_up_the_next(
    bench: Bench, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "BEGIN_SECONDS", 2.0)
    await serve(bench)
    pid = await result(bench, await bench.submit("iso.leave", task))
    task.let_go()
    await until(lambda: task.told() == ["hangs"])
    job = await bench.submit("iso.pid")
    assert await result(bench, job) != pid
    assert await bench.types(job) == ["submitted", "started", "succeeded"]
    assert not is_alive(pid)


async def test_a_loop_that_is_held_up_does_not_take_a_process_for_stuck(
    bench: Bench, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said in time is read before its time is over, whenever the worker comes to that."""
    monkeypatch.setattr(child, "BEGIN_SECONDS", 0.5)
    send = Line.send

    def held_up(self: Line, message: Any) -> None:
        send(self, message)
        if isinstance(message, Run):  # as by a handler that blocks
            asyncio.get_running_loop().call_soon(time.sleep, 1.5)

    monkeypatch.setattr(Line, "send", held_up)
    await serve(bench)
    job = await bench.submit("iso.wait", task)
    await until(lambda: bool(task.told()))
    await asyncio.sleep(0.5)
    task.let_go()
    assert await bench.ended(job) == ["submitted", "started", "succeeded"]


async def test_nor_what_ended_in_time_for_late(bench: Bench, task: Task) -> None:
    await serve(bench)
    job = await bench.submit("iso.wait", task, timeout_ms=2000, max_attempts=1)
    await until(lambda: bool(task.told()))
    task.let_go()
    time.sleep(2.6)  # noqa: ASYNC251 (as a handler that blocks)
    assert await bench.ended(job) == ["submitted", "started", "succeeded"]


async def test_processes_that_die_before_they_begin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kills them, it is not the job: it is handed back, and runs when they live."""
    start = Child.start

    async def doomed(hello: Any) -> Child:
        child = await start(hello)
        os.kill(child.pid, signal.SIGKILL)
        await child.gone()
        return child

    monkeypatch.setattr(Child, "start", doomed)
    await serve(bench)
    job = await bench.submit("iso.pid")
    given_back = await until_released(bench, job)
    assert given_back["reason"] == "no_process"
    monkeypatch.setattr(Child, "start", start)
    assert await result(bench, job)
    assert "crashed" not in await bench.types(job)


async def test_without_a_process_the_job_is_handed_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOLATED_APP", "broken")
    monkeypatch.setenv("ISOLATED_FLAG", str(tmp_path / "flag"))
    await serve(bench)
    (tmp_path / "flag").touch()
    job = await bench.submit("iso.pid")
    given_back = await until_released(bench, job)
    assert given_back == {"reason": "no_process", "delay_ms": 1000}
    (tmp_path / "flag").unlink()
    assert await result(bench, job)
    assert "crashed" not in await bench.types(job)


async def test_closing_leaves_no_process(bench: Bench, task: Task) -> None:
    worker = await serve(bench)
    job = await bench.submit("iso.stubborn", task)
    await until(lambda: bool(task.told()))
    await worker.close()
    for pid in task.told():
        await until(lambda pid=pid: not is_alive(int(pid)))
    assert (await bench.types(job))[-1] == "started", "left to the expiry of its lease"


@pytest.mark.parametrize("type", ["iso.wait", "iso.stubborn"])
async def test_draining_hands_it_back_at_no_cost(bench: Bench, task: Task, type: str) -> None:
    worker = await serve(bench)
    job = await bench.submit(type, task, max_attempts=1)
    waiting = await bench.submit("iso.pid")
    await until(lambda: bool(task.told()))
    await worker.drain(0.1)
    assert (await bench.types(job))[-1] == "released"
    assert await bench.last(job) == {"reason": "drain"}
    assert (await bench.types(waiting))[-1] in ("submitted", "released")
    assert not is_alive(int(task.told()[0]))


async def test_a_job_that_may_have_killed_a_worker_runs_apart(bench: Bench, task: Task) -> None:
    """Of whatever kind its handler is; one that has not runs where it always does."""
    task.let_go()
    job = await bench.submit("loop.neighbour", task)
    (lease,) = (await bench.queue.claim("dead", 1)).leases
    assert await bench.queue.reap(0, 3) == (1, False)
    await serve(bench)
    pid, crashes = await result(bench, job)
    assert (pid != os.getpid(), crashes, lease.crashes) == (True, 1, 0)


async def test_suspects_do_not_take_the_slots_of_all_others(
    bench: Bench, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.1)
    suspects = await bench.submit_many("loop.neighbour", [task] * 2)
    await bench.queue.claim("dead", 2)
    assert await bench.queue.reap(0, 3) == (2, False)
    await serve(bench, concurrency=2)
    task_of_another = Task(task.notes, task.notes)  # which exists once a suspect runs
    assert await result(bench, await bench.submit("loop.neighbour", task_of_another))
    task.let_go()
    for job in suspects:
        assert (await bench.ended(job))[-1] == "succeeded"
    released = [job for job in suspects if "released" in await bench.types(job)]
    assert len(released) == 1


async def test_jobs_that_wait_for_a_process_leave_slots_to_others(
    bench: Bench, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process, and many slow jobs for it in front of one that needs none."""
    monkeypatch.setattr(pool, "PATIENCE", 0.2)
    slow = await bench.submit_many("iso.wait", [task] * 20, max_attempts=1)
    other = await bench.submit("loop.neighbour", Task(task.notes, task.notes))
    await serve(bench, concurrency=4)
    assert await result(bench, other) == [os.getpid(), 0]
    task.let_go()
    for job in slow:
        types = await bench.ended(job, 60)
        assert types[-1] == "succeeded"
        assert set(types) <= {"submitted", "started", "released", "queued", "succeeded"}


async def test_jobs_wait_for_a_process_where_slots_are_free(
    bench: Bench, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.05)
    slow = await bench.submit_many("iso.wait", [task] * 4)
    await serve(bench, concurrency=20)
    await until(lambda: bool(task.told()))
    await asyncio.sleep(0.3)
    task.let_go()
    for job in slow:
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]


async def test_a_worker_without_apps_runs_it_as_ever(bench: Bench, task: Task) -> None:
    own = Registry()

    @own.job("loop.neighbour")
    async def here(ctx: Any, payload: Any) -> int:
        return os.getpid()

    job = await bench.submit("loop.neighbour", task)
    await bench.queue.claim("dead", 1)
    assert await bench.queue.reap(0, 3) == (1, False)
    await bench.worker(own)
    assert await result(bench, job) == os.getpid()


def test_a_process_handler_needs_a_worker_with_apps() -> None:
    with pytest.raises(HandlerError, match=r"iso\..*expected a worker that knows the apps"):
        Worker(Settings(), registry)
