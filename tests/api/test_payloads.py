"""A payload that no live worker takes is refused when it is submitted."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
import pytest

from millstream.api import payloads
from millstream.api.problems import Problem
from millstream.api.submission import Submission
from millstream.core.config import Settings
from millstream.core.workers import Seen, Workers

from .conftest import Api, Core, problem, running
from .paying import Cents, Payment, Said, pay, status

KIND = "invalid-payload"
BATCH = "/api/v1/jobs/batch"


@pytest.fixture
def said(core: Core) -> Said:
    return Said(core)


@pytest.fixture(autouse=True)
def always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker said counts at once; tests of what is remembered say so."""
    monkeypatch.setattr(payloads, "FRESH", 0.0)


@pytest.mark.parametrize(
    ("payload", "path", "message"),
    [
        ({"amount": "7"}, "$.payload.amount", "Expected `int`, got `str`"),
        ({}, "$.payload.amount", "Object missing required field `amount`"),
        ({"amount": 7, "currency": "GBP"}, "$.payload.currency",
         "expected one of EUR, USD, got 'GBP'"),
        ([], "$.payload", "Expected `object`, got `array`"),
        (None, "$.payload", "Expected `object`, got `null`"),
        (msgspec.UNSET, "$.payload", "Expected `object`, got `null`"),
    ],
)  # fmt: skip
async def test_the_place_of_the_fault_what_was_expected_and_what_came(
    api: Api, said: Said, payload: Any, path: str, message: str
) -> None:
    await said.say("a", {"pay": Payment})
    found = problem(pay(api, payload), 422, KIND)
    assert found["errors"] == [{"path": path, "message": message, "in": "body"}]
    assert found["detail"] == f"{message} (at {path})."
    assert await said.core.events() == []


async def test_what_the_handler_takes_is_accepted(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment, "weigh": float, "free": Any})
    for payload in ({"amount": 7}, {"amount": 7, "currency": "USD", "unknown": [1]}):
        assert status(api, payload) == 201
    assert status(api, 1, type="weigh") == 201
    assert status(api, {"what": "ever"}, type="free") == 201


async def test_a_batch_names_its_jobs_and_none_is_accepted(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment})
    good, other = {"type": "pay", "payload": {"amount": 1}}, {"type": "free"}
    bad = {"type": "pay", "payload": {"amount": 1.5}}
    jobs = [good, other, bad, good, {"type": "pay"}]
    found = problem(api.client.post(BATCH, json={"jobs": jobs}), 422, KIND)
    assert [one["path"] for one in found["errors"]] == ["$.jobs[2].payload.amount",
                                                        "$.jobs[4].payload"]  # fmt: skip
    assert found["errors"][0]["message"] == "Expected `int`, got `float`"
    assert await said.core.events() == []
    assert api.client.post(BATCH, json={"jobs": [good, other]}).status_code == 201


async def test_of_many_faults_the_first_are_named(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment})
    jobs = [{"type": "pay", "payload": index} for index in range(100)]
    found = problem(api.client.post(BATCH, json={"jobs": jobs}), 422, KIND)
    assert len(found["errors"]) == 20
    assert found["errors"][19]["path"] == "$.jobs[19].payload"


async def test_what_one_of_the_live_versions_takes_is_accepted(api: Api, said: Said) -> None:
    await said.say("old", {"pay": Payment})
    await said.say("new", {"pay": Cents})
    assert status(api, {"amount": 7}) == 201
    assert status(api, {"cents": 7}) == 201
    (fault,) = problem(pay(api, {"euros": 7}), 422, KIND)["errors"]
    assert fault["path"] == "$.payload.euros"  # as the newer one says
    assert fault["message"] == "Object contains unknown field `euros`"


async def test_what_one_of_the_live_versions_takes_unseen_is_accepted(api: Api, said: Said) -> None:
    await said.say("new", {"pay": Payment})
    assert status(api, 5) == 422
    await said.say("untyped", {"pay": Any})
    assert status(api, 5) == 201
    await said.workers.leave("untyped")
    assert status(api, 5) == 422
    await said.say_nothing("of an older release", ["pay"])
    assert status(api, 5) == 201


async def test_what_nobody_serves_is_taken_as_it_is(api: Api, said: Said) -> None:
    assert status(api, 5) == 201
    await said.say("a", {"other": Payment})
    assert status(api, 5) == 201
    await said.say("b", {"pay": Payment})
    assert status(api, 5) == 422
    await said.workers.leave("b")
    assert status(api, 5) == 201


async def test_the_word_of_a_worker_that_is_gone_refuses_nothing(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment})
    await said.age("a", 60)
    assert status(api, 5) == 201


async def test_the_word_of_a_worker_that_leaves_refuses_nothing(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment}, draining=True)
    assert status(api, 5) == 201


async def test_what_a_silent_worker_takes_is_accepted_for_a_while(api: Api, said: Said) -> None:
    """After an outage of Redis all are silent, and not all are back at once."""
    await said.say("old", {"pay": Payment})
    await said.say("new", {"pay": Cents})
    await said.age("new", payloads.HEARD_WITHIN - 60)
    assert status(api, {"cents": 7}) == 201
    assert status(api, 5) == 422
    await said.age("new", payloads.HEARD_WITHIN + 1)
    assert status(api, {"cents": 7}) == 422


async def test_what_cannot_be_read_refuses_nothing(api: Api, said: Said) -> None:
    text = await said.say("a", {"pay": Payment})
    keys, redis = said.core.keys, said.core.redis
    (report,) = await said.workers.all()
    key = keys.takes(report.report.takes)
    assert status(api, {"amount": "7"}) == 422
    for lost in (b"[]", b'{"pay":7}', b'{"pay":{"shape":{"kind":"hologram"}}}'):
        await redis.set(key, lost)
        assert status(api, {"amount": "7"}) == 422, "it is known by its digest"
        with running(api.app.state.settings) as another:
            assert status(another, {"amount": "7"}) == 201
    await redis.delete(key)
    with running(api.app.state.settings) as another:
        assert status(another, {"amount": "7"}) == 201
        await redis.set(key, text)
        assert status(another, {"amount": "7"}) == 422


async def test_it_is_read_once_for_many_requests_and_anew_before_one_is_refused(
    api: Api, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said.say("old", {"pay": Payment})
    assert status(api, {"amount": 1}) == 201
    monkeypatch.setattr(payloads, "FRESH", 86_400.0)

    async def reads() -> int:
        found = await said.core.redis.info("commandstats")
        return found["cmdstat_smembers"]["calls"]

    before = await reads()
    for _ in range(20):
        assert status(api, {"amount": 1}) == 201
        assert status(api, 1, type="free") == 201
    assert await reads() == before
    assert status(api, {"cents": 1}) == 422
    assert await reads() == before + 1
    await said.say("new", {"pay": Cents})
    assert status(api, {"cents": 1}) == 201, "it was refused a moment ago"
    assert await reads() == before + 2
    assert status(api, {"cents": 1}) == 201
    assert await reads() == before + 2


async def test_all_of_a_batch_is_looked_at_again_with_what_was_read_anew(
    api: Api, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said.say("old", {"pay": Payment})
    assert status(api, {"amount": 1}) == 201
    monkeypatch.setattr(payloads, "FRESH", 86_400.0)
    await said.say("new", {"pay": Cents})
    jobs = [{"type": "pay", "payload": {"cents": 1}}] * 30 + [{"type": "pay", "payload": 7}]
    found = problem(api.client.post(BATCH, json={"jobs": jobs}), 422, KIND)
    assert [one["path"] for one in found["errors"]] == ["$.jobs[30].payload"]
    assert api.client.post(BATCH, json={"jobs": jobs[:30]}).status_code == 201


class HeldUp(Workers):
    """Reads, and tells what it read only when it may."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.core.redis, said.core.keys)
        self.read, self.may = asyncio.Event(), asyncio.Event()

    async def all(self) -> list[Seen]:
        found = await super().all()
        self.read.set()
        await self.may.wait()
        return found


async def test_what_was_being_read_when_a_payload_came_does_not_refuse_it(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "FRESH", 86_400.0)
    await said.say("old", {"pay": Payment})
    workers = HeldUp(said)
    workers.may.set()
    checked = payloads.Payloads(workers, enabled=True)
    await checked.check([Submission("pay", msgspec.Raw(b'{"amount":1}'))])
    workers.may.clear()
    workers.read.clear()
    wrong = asyncio.create_task(checked.check([Submission("pay", msgspec.Raw(b"5"))]))
    await workers.read.wait()
    await said.say("new", {"pay": Cents})
    right = asyncio.create_task(checked.check([Submission("pay", msgspec.Raw(b'{"cents":1}'))]))
    await asyncio.sleep(0)
    workers.may.set()
    await right
    with pytest.raises(Problem):
        await wrong


async def test_it_can_be_switched_off(settings: Settings, said: Said) -> None:
    await said.say("a", {"pay": Payment})
    with running(msgspec.structs.replace(settings, check_payloads=False)) as api:
        assert status(api, {"amount": "7"}) == 201


async def test_other_bounds_come_first(api: Api, said: Said) -> None:
    await said.say("a", {"pay": Payment})
    deep: Any = 1
    for _ in range(66):
        deep = [deep]
    problem(pay(api, deep), 400, "too-deep")
    problem(pay(api, 5, delay=-1), 400, "invalid-request")
    problem(pay(api, 5, max_attempts=1, delay=1, run_at="2027-01-31T08:00:00Z"), 422,
            "unacceptable-value")  # fmt: skip


async def test_a_request_sent_again_stays_accepted_whoever_serves_it_by_then(
    api: Api, said: Said
) -> None:
    await said.say("old", {"pay": Payment})
    key, batch = {"Idempotency-Key": "k"}, {"Idempotency-Key": "b"}
    job = {"type": "pay", "payload": {"amount": 1}}
    send: Any = api.client.post
    wrong = {"type": "pay", "payload": {"cents": 1}}
    problem(send("/api/v1/jobs", json=wrong, headers=key), 422, KIND)
    first = send("/api/v1/jobs", json=job, headers=key)
    assert first.status_code == 201, "what was refused left the key free"
    assert send(BATCH, json={"jobs": [job]}, headers=batch).status_code == 201
    await said.workers.leave("old")
    await said.say("new", {"pay": Cents})
    again = send("/api/v1/jobs", json=job, headers=key)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert send(BATCH, json={"jobs": [job]}, headers=batch).status_code == 200
    found = problem(send(BATCH, json={"jobs": [job]}, headers={"Idempotency-Key": "c"}), 422, KIND)
    assert found["errors"][0]["path"] == "$.jobs[0].payload.amount"


async def test_a_key_of_an_object_and_a_value_below_it(api: Api, said: Said) -> None:
    await said.say("a", {"pay": dict[int, bool]})
    (key,) = problem(pay(api, {"a": True}), 422, KIND)["errors"]
    assert key["path"] == "$.payload"
    assert key["message"] == "Expected `int`, got `str` in a key"
    (value,) = problem(pay(api, {"1": 1}), 422, KIND)["errors"]
    assert (value["path"], value["message"]) == ("$.payload[...]", "Expected `bool`, got `int`")
    await said.say("a", {"pay": dict[str, list[Literal["EUR", "USD"]]]})
    (value,) = problem(pay(api, {"a": ["GBP"]}), 422, KIND)["errors"]
    assert value["path"] == "$.payload[...][0]"
    assert value["message"] == "expected one of EUR, USD, got 'GBP'"
