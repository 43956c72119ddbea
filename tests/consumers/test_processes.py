"""Jobs in processes of their own, with a worker in this one: verdicts, deaths and timeouts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, HandlerError, Registry
from millstream.consumers.worker import Worker
from millstream.core.embedded.process import is_alive
from millstream.core.events import Command

from .conftest import Bench, until
from .isolated_app import Task, registry

APP = str(Path(__file__).with_name("isolated_app.py")) + ":registry"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(str(tmp_path / "notes"), str(tmp_path / "go"))


async def serve(bench: Bench, **settings: Any) -> Worker:
    """A worker in this process, whose jobs run in processes of their own."""
    worker = Worker(bench.settings(processes=1, **settings), registry, [APP])
    bench.workers.append(worker)
    await worker.start()
    return worker


async def result(bench: Bench, job: str) -> Any:
    assert (await bench.ended(job))[-1] == "succeeded", await bench.last(job)
    return (await bench.last(job))["result"]["data"]


async def error(bench: Bench, job: str) -> dict[str, Any]:
    """The error of the job's last failed attempt, once there is one."""

    async def failed() -> bool:
        return "attempt_failed" in await bench.types(job)

    await until(failed)
    bodies = [one.body for one in await bench.history(job) if one.type == "job.attempt_failed"]
    return msgspec.json.decode(bodies[-1])["error"]


async def test_one_process_runs_job_after_job(bench: Bench) -> None:
    await serve(bench)
    jobs = await bench.submit_many("iso.pid", [None] * 3)
    pids = {await result(bench, job) for job in jobs}
    assert len(pids) == 1
    assert os.getpid() not in pids
    job = await bench.submit("iso.async", 7)
    assert await result(bench, job) == {"payload": 7, "attempt": 1, "fence": 2, "pid": pids.pop()}


@pytest.mark.parametrize(
    ("payload", "type", "message", "for_good"),
    [
        ("boom", "ValueError", "boom", False),
        ("exit", "SystemExit", "3", False),
        ("retry", "millstream.consumers.verdicts.Retry", "not yet", False),
        ("fail", "millstream.consumers.verdicts.Fail", "never", True),
        ("key", "KeyError", "'hopeless'", True),
        ("object", "InvalidResult", "expected a result that can be written as JSON", True),
        ("large", "InvalidResult", "of at most 4000 bytes (MILLSTREAM_MAX_RESULT", True),
    ],
)
async def test_what_goes_wrong_is_told_as_of_any_handler(
    bench: Bench, payload: str, type: str, message: str, for_good: bool
) -> None:
    await serve(bench, max_result_bytes=4000)
    job = await bench.submit("iso.verdict", payload)
    fault = await error(bench, job)
    assert (fault["type"], message in fault["message"]) == (type, True), fault
    assert "processes" not in fault.get("traceback", "")
    if type == "ValueError":
        assert "in verdict" in fault["traceback"]
    # What is not for good may have been tried again by now.
    assert ("failed" in await bench.types(job)) == for_good


async def test_a_payload_it_cannot_take(bench: Bench) -> None:
    await serve(bench)
    job = await bench.submit("iso.async", "seven")
    assert (await error(bench, job))["type"] == "InvalidPayload"
    assert (await bench.types(job))[-1] == "failed"


async def test_snoozed_from_a_process(bench: Bench) -> None:
    await serve(bench)
    job = await bench.submit("iso.verdict", "snooze")

    async def snoozed() -> bool:
        return (await bench.types(job))[-1] == "snoozed"

    await until(snoozed)
    assert await bench.last(job) == {"delay_ms": 60_000}


async def test_what_a_handler_prints_disturbs_nobody(bench: Bench) -> None:
    await serve(bench)
    assert await result(bench, await bench.submit("iso.verdict", "print")) == ""
    assert await result(bench, await bench.submit("iso.pid"))


async def test_its_steps_are_kept_over_its_death(bench: Bench, task: Task) -> None:
    await serve(bench)
    job = await bench.submit("iso.steps", task)
    further = await result(bench, job)
    assert await result(bench, further)
    assert task.told() == ["done"]
    assert await bench.types(job) == [
        "submitted", "started", "checkpointed", "crashed", "queued", "started", "checkpointed",
        "checkpointed", "snoozed", "queued", "started", "succeeded",
    ]  # fmt: skip
    assert len(set(await result(bench, await bench.submit("iso.async-steps")))) == 1


@pytest.mark.parametrize(
    ("how", "cause"),
    [("segv", "killed by SIGSEGV"), ("kill", "killed by SIGKILL"), ("exit", "exited with 7")],
)
async def test_a_death_is_a_crash_of_that_job_alone(bench: Bench, how: str, cause: str) -> None:
    worker = await serve(bench, max_crashes=2)
    backoff = Backoff("fixed", delay=0.2, jitter=0)
    job = await bench.submit("iso.die", Task(how=how), max_attempts=1, backoff=backoff)
    good = await bench.submit("iso.pid")
    assert await bench.ended(job) == [
        "submitted", "started", "crashed", "queued", "started", "crashed", "failed",
    ]  # fmt: skip
    first, last = (one.body for one in (await bench.history(job))[2:6:3])
    by = f'"worker":"{worker.name}"'
    assert first.decode() == f'{{{by},"crashes":1,"cause":"{cause}","delay_ms":200}}'
    assert last.decode() == f'{{{by},"crashes":2,"cause":"{cause}"}}', "there is no wait any more"
    failed = await bench.last(job)
    assert failed == {"reason": "poison", "error": {"type": "Crashed", "message": cause}}
    assert await result(bench, good)
    assert worker.stats.verdicts["crashed"] == 2


async def test_a_timeout_interrupts_an_async_handler(bench: Bench, task: Task) -> None:
    await serve(bench)
    job = await bench.submit("iso.wait", task, timeout_ms=1500, max_attempts=1)
    assert (await bench.ended(job))[-2:] == ["attempt_failed", "failed"]
    assert (await error(bench, job))["message"] == "the attempt took longer than 1.5 s"
    pid, word = task.told()
    assert word == "interrupted"
    await until(lambda: not is_alive(int(pid)))


@pytest.mark.parametrize("type", ["iso.stubborn", "iso.hog"])
async def test_a_timeout_ends_a_handler_that_does_not_listen(
    bench: Bench, task: Task, type: str
) -> None:
    await serve(bench)
    job = await bench.submit(type, task, timeout_ms=1500, max_attempts=1)
    assert (await bench.ended(job))[-2:] == ["attempt_failed", "failed"]
    assert (await error(bench, job))["type"] == "Timeout"
    assert task.told()
    for pid in task.told():  # also the program that it started
        await until(lambda pid=pid: not is_alive(int(pid)))
    assert await result(bench, await bench.submit("iso.pid"))


async def test_cancelling_stops_it(bench: Bench, task: Task) -> None:
    await serve(bench)
    for type in ("iso.polite", "iso.wait", "iso.stubborn"):
        task.forget()
        job = await bench.submit(type, task)
        await until(lambda: bool(task.told()))
        pid = int(task.told()[0])
        assert await bench.queue.cancel([job], Command("ada")) == ["requested"]
        assert (await bench.ended(job))[-1] == "cancelled"
        await until(lambda pid=pid: not is_alive(pid))
        assert task.told()[1:] != [] if type == "iso.stubborn" else task.told()[-1] in (
            "told", "interrupted",
        )  # fmt: skip


async def test_a_handler_knows_its_deadline(bench: Bench) -> None:
    await serve(bench)
    assert 40 < await result(bench, await bench.submit("iso.deadline")) <= 50


async def test_it_tells_its_progress(bench: Bench, task: Task) -> None:
    await serve(bench)
    job = await bench.submit("iso.progress", task)

    async def progressed() -> bool:
        return "progressed" in await bench.types(job)

    await until(progressed)
    task.let_go()
    assert await bench.ended(job) == ["submitted", "started", "progressed", "succeeded"]
    assert b'"value":0.25' in (await bench.history(job))[2].body


async def test_the_clock_starts_with_the_handler(bench: Bench, task: Task) -> None:
    """Not while the job waits for a process."""
    await serve(bench)
    first = await bench.submit("iso.wait", task)
    await until(lambda: bool(task.told()))
    second = await bench.submit("iso.pid", timeout_ms=1500)
    await asyncio.sleep(2)
    task.let_go()
    assert await result(bench, second) == await result(bench, first)


def test_where_a_handler_can_run() -> None:
    own = Registry()

    async def on_loop(ctx: Any, payload: Any) -> None: ...

    def plain(ctx: Any, payload: Any) -> None: ...

    own.job("a")(on_loop)
    own.job("b")(plain)
    own.job("c", executor="process")(on_loop)
    own.job("d", executor="thread")(plain)
    assert [handler.executor for handler in own] == ["loop", "thread", "process", "thread"]
    assert [handler.announcement()["executor"] for handler in own][1:3] == ["thread", "process"]
    with pytest.raises(HandlerError, match="a plain function for executor='thread', got: executor"):
        own.job("e", executor="thread")(on_loop)
    with pytest.raises(HandlerError, match="an async def for executor='loop'"):
        own.job("e", executor="loop")(plain)
    wrong: Any = "gpu"
    with pytest.raises(HandlerError, match="executor loop, thread or process, got: 'gpu'"):
        own.job("e", executor=wrong)(plain)
