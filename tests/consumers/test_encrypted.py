"""Jobs about a person in a worker: handlers see what was given, the log sees none of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Registry
from millstream.consumers.worker import Worker
from millstream.core.codec import Data, encode
from millstream.core.encryption import Secret, SubjectKey, box_of
from millstream.core.events import JobSubmitted
from millstream.core.ids import new_id
from millstream.core.queue import new_job
from millstream.core.subjects import SubjectKeys, Wrapped

from .conftest import Bench, until
from .isolated_app import registry as isolated
from .test_processes import APP

SECRET = b"\x07" * 32
SOON = Backoff(kind="fixed", delay=0.02, jitter=0)
HERS = "ada@example.org"


class Subject:
    """A subject whose key is in Redis, as the API puts it there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.secret = Secret(SECRET)
        self.digest = self.secret.digest("customer-4711")
        self.id, self.wrapped = self.secret.make()
        self.key: SubjectKey = self.secret.open(self.id, self.wrapped)
        self.keys = SubjectKeys(bench.redis, bench.keys)

    async def publish(self) -> None:
        await self.keys.publish([Wrapped(self.digest, self.id, self.wrapped)])

    async def submit(self, type: str, payload: Any, **spec: Any) -> str:
        await self.bench.directory.register("default")
        encrypted = self.key.encrypt("payload", encode(payload))
        job = new_job(new_id("default"), JobSubmitted(type, payload=encrypted, **spec))
        await self.bench.queue.submit([job])
        return job.id

    def read(self, what: str, data: dict[str, Any]) -> Any:
        """What stands encrypted in an event."""
        return msgspec.json.decode(self.key.decrypt(what, msgspec.convert(
            {"data": msgspec.Raw(msgspec.json.encode(data["data"])), "codec": data["codec"]}, Data
        )))  # fmt: skip


@pytest.fixture
async def subject(bench: Bench) -> Subject:
    subject = Subject(bench)
    await subject.publish()
    return subject


async def nothing_of_her(bench: Bench) -> None:
    for record in await bench.queue_log():
        assert HERS.encode() not in record.body, record.type


async def test_a_handler_sees_the_payload_and_its_result_is_encrypted(
    bench: Bench, registry: Registry, subject: Subject
) -> None:
    @registry.job("greet")
    async def greet(ctx: Context, payload: dict[str, str]) -> str:
        return "hello " + payload["mail"]

    await bench.worker(registry, erasure_secret=SECRET)
    job = await subject.submit("greet", {"mail": HERS})
    assert (await bench.ended(job))[-1] == "succeeded"
    assert subject.read("result", (await bench.last(job))["result"]) == "hello " + HERS
    await nothing_of_her(bench)


async def test_errors_are_encrypted_and_retried_as_ever(
    bench: Bench, registry: Registry, subject: Subject
) -> None:
    @registry.job("fail", max_attempts=2, backoff=SOON)
    def fail(ctx: Context, payload: str) -> None:
        raise LookupError(f"no mailbox {payload}")

    await bench.worker(registry, erasure_secret=SECRET)
    job = await subject.submit("fail", HERS, max_attempts=2)
    assert (await bench.ended(job)).count("attempt_failed") == 2
    error = msgspec.json.decode((await bench.history(job))[2].body)["error"]
    assert (error["type"], error["message"]) == ("LookupError", "")
    message, traceback = subject.read("error", error["sealed"])
    assert message == f"no mailbox {HERS}"
    assert "in fail" in traceback
    await nothing_of_her(bench)


async def test_steps_and_submitted_jobs_are_encrypted_with_the_same_key(
    bench: Bench, registry: Registry, subject: Subject
) -> None:
    calls: list[str] = []

    async def look_up() -> str:
        calls.append("look up")
        return HERS

    @registry.job("order", max_attempts=2, backoff=SOON)
    async def order(ctx: Context, payload: None) -> str:
        found = await ctx.step("look up", look_up)
        if ctx.attempt == 1:
            raise OSError("not now")
        return await ctx.submit("greet", found)

    @registry.job("greet")
    async def greet(ctx: Context, payload: str) -> str:
        return payload.upper()

    await bench.worker(registry, erasure_secret=SECRET)
    job = await subject.submit("order", None, max_attempts=2)
    assert (await bench.ended(job))[-1] == "succeeded"
    child = subject.read("result", (await bench.last(job))["result"])
    assert (await bench.ended(child))[-1] == "succeeded"
    assert subject.read("result", (await bench.last(child))["result"]) == HERS.upper()
    assert calls == ["look up"]
    (step, *_) = [r for r in await bench.history(job) if r.type == "job.checkpointed"]
    assert subject.read("step", msgspec.json.decode(step.body)["result"]) == HERS
    await nothing_of_her(bench)


async def test_a_job_whose_subject_was_erased_fails_for_good(
    bench: Bench, registry: Registry, subject: Subject
) -> None:
    ran: list[str] = []

    @registry.job("greet")
    async def greet(ctx: Context, payload: str) -> None:
        ran.append(payload)

    await subject.keys.erase(subject.digest, [subject.id])
    await subject.publish()  # somebody who was late: the mark of erasure stays
    job = await subject.submit("greet", HERS)
    await bench.worker(registry, erasure_secret=SECRET)
    assert await bench.ended(job) == ["submitted", "started", "attempt_failed", "failed"]
    error = msgspec.json.decode((await bench.history(job))[2].body)["error"]
    assert error == {"type": "Erased", "message": "the key of its subject was erased"}
    assert ran == []


@pytest.mark.parametrize("lacks", ["secret", "right secret", "key"])
async def test_a_worker_that_cannot_open_it_hands_it_back(
    bench: Bench, registry: Registry, subject: Subject, lacks: str
) -> None:
    @registry.job("greet")
    async def greet(ctx: Context, payload: str) -> str:
        return payload

    secret = {"secret": None, "right secret": b"\x08" * 32, "key": SECRET}[lacks]
    if lacks == "key":
        await bench.redis.delete(bench.keys.subject_keys)
    await bench.worker(registry, erasure_secret=secret)
    job = await subject.submit("greet", HERS)

    async def handed_back() -> bool:
        return "released" in await bench.types(job)

    await until(handed_back)
    assert "attempt_failed" not in await bench.types(job)


async def test_data_that_was_altered_fails_for_good(
    bench: Bench, registry: Registry, subject: Subject
) -> None:
    @registry.job("greet")
    async def greet(ctx: Context, payload: str) -> str:
        return payload

    await bench.worker(registry, erasure_secret=SECRET)
    encrypted = subject.key.encrypt("payload", b'"x"')
    box = msgspec.structs.replace(box_of(encrypted), text=b"something else that is long enough")
    altered = msgspec.structs.replace(encrypted, data=msgspec.Raw(encode(box)))
    job = new_job(new_id("default"), JobSubmitted("greet", payload=altered))
    await bench.directory.register("default")
    await bench.queue.submit([job])
    assert (await bench.ended(job.id))[-1] == "failed"


async def test_a_process_of_a_worker_opens_it_too(bench: Bench, subject: Subject) -> None:
    worker = Worker(bench.settings(processes=1, erasure_secret=SECRET), isolated, [APP])
    bench.workers.append(worker)
    await worker.start()
    job = await subject.submit("iso.pid", HERS)
    assert (await bench.ended(job))[-1] == "succeeded"
    assert isinstance(subject.read("result", (await bench.last(job))["result"]), int)
