"""What is about a person stands in no place of any server, and once erased nobody can read it.

Jobs go all the ways there are, each with a text that must not be found; what is about nobody goes
the same ways, and is found, so that the search is known to look there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Fail, Registry
from millstream.consumers.worker import Worker
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.export import Span
from millstream.core.subjects import SubjectKeys
from millstream.projections import queries
from millstream.projections.exporting import Exporter
from millstream.projections.restore.imports import Importer
from tests.everywhere import in_folder, in_postgres, in_redis, where

from .conftest import Api, Core, running, until
from .flowing import post
from .test_erasure import HER, SECRET, erase
from .test_schedules import act, make

HERS = "ada-of-example-org"
NOBODYS = "a-text-about-nobody"
SOON = Backoff(kind="fixed", delay=0.02, jitter=0)
NEVER = Backoff(kind="fixed", delay=86_400.0, jitter=0)
QUEUE = "default"

Mood = Literal["glad", "sad"]

registry = Registry()


@registry.job("tell", max_attempts=1)
async def tell(ctx: Context, payload: Any) -> Any:
    """A result, a step and a further job that hold what was given."""
    await ctx.step("look up", lambda: {"found": payload})
    await ctx.submit("echo", payload)
    return {"told": payload}


@registry.job("echo")
def echo(ctx: Context, payload: Any) -> Any:
    return payload


@registry.job("fail", max_attempts=2, backoff=SOON)
async def fail(ctx: Context, payload: Any) -> None:
    raise LookupError(f"no mailbox {payload}")


@registry.job("give.up")
def give_up(ctx: Context, payload: dict[str, str]) -> None:
    raise Fail(f"never mind {payload['mail']}")


@registry.job("picky")
def picky(ctx: Context, payload: dict[str, Mood]) -> None:
    """Why its payload is not taken says what it was."""


@registry.job("half", max_attempts=2, backoff=NEVER)
async def half(ctx: Context, payload: Any) -> None:
    """It lives on, with a step and an error, when all others have ended."""
    await ctx.step("look up", lambda: payload)
    raise LookupError(f"no mailbox {payload}")


@pytest.fixture
def secret(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, erasure_secret=SECRET, sweep=0.2)


@pytest.fixture
def api(secret: Settings) -> Iterator[Api]:
    """An API that knows the secret, and leaves it to workers to refuse a payload: they tell why."""
    with running(msgspec.structs.replace(secret, check_payloads=False)) as found:
        yield found


@pytest.fixture
async def worker(secret: Settings) -> AsyncIterator[Worker]:
    worker = Worker(secret, registry)
    await worker.start()
    yield worker
    await worker.close()


def keyed(api: Api, path: str, key: str, body: dict[str, Any], status: int = 201) -> Any:
    """A request that is sent twice under its key."""
    headers = {"idempotency-key": key}
    first = api.client.post(f"/api/v1{path}", json=body, headers=headers)
    assert first.status_code == status, first.text
    again = api.client.post(f"/api/v1{path}", json=body, headers=headers)
    assert again.status_code == (200 if status == 201 else status), again.text
    return first.json()


class Ways:
    """All ways for the jobs of one subject, or of nobody; names the jobs that end as they do."""

    def __init__(self, api: Api, text: str, subject: str | None) -> None:
        self.api, self.text, self.subject = api, text, subject
        self.name = text[:3]
        self.failed: list[str] = []
        self.ended: list[str] = []
        self.half = ""

    def job(self, type: str, **fields: Any) -> dict[str, Any]:
        about = {} if self.subject is None else {"subject": self.subject}
        return {"type": type, "payload": {"mail": self.text}, **about, **fields}

    def submit(self) -> None:
        api, name = self.api, self.name
        one = keyed(api, "/jobs", f"{name}-one", self.job("tell"))
        jobs = [self.job(type) for type in ("tell", "fail", "fail", "give.up", "picky")]
        batch = {"jobs": jobs}
        items = keyed(api, "/jobs/batch", f"{name}-batch", batch)["items"]
        flow = {"jobs": [self.job("echo", key="a"), self.job("echo", key="b", depends_on=["a"])]}
        members = keyed(api, "/flows", f"{name}-flow", flow)["items"]
        opened = post(api, batch=[], then=self.job("echo"), open=True)
        added = post(api, 201, f"/flows/{opened['id']}/jobs", jobs=[self.job("echo")], close=True)
        self.failed = [item["id"] for item in items[1:]]
        self.ended = [one["id"], items[0]["id"], opened["id"], added["items"][0]["id"]]
        self.ended += [member["id"] for member in members]

    def keep(self) -> None:
        """What lives on: waiting, half done, replaced, and as a schedule; and what is refused."""
        unique = {"key": f"{self.name}-k", "policy": "replace"}
        for _ in range(2):
            self.api.client.post("/api/v1/jobs", json=self.job("echo", delay=3600, unique=unique))
        self.half = self.api.submit(**self.job("half"))
        bad = self.job("echo", delay=-1)
        keyed(self.api, "/jobs", f"{self.name}-bad", bad, 400)
        missing = self.job("echo", depends_on=["01a21244-566e-722c-9c49-9ca1cb5e00df"])
        keyed(self.api, "/jobs", f"{self.name}-missing", missing, 422)
        about = {} if self.subject is None else {"subject": self.subject}
        given = {"type": "echo", "payload": {"mail": self.text}, **about}
        make(self.api, name=self.name, **given)
        self.api.client.patch(f"/api/v1/schedules/{self.name}", json={"payload": [self.text]})
        self.ended += act(self.api, "fire", self.name).json()["jobs"]

    def operate(self) -> None:
        """One of those that failed runs again, another is let go."""
        post(self.api, 200, f"/jobs/{self.failed[0]}/retry", actor="ada", reason="again")
        post(self.api, 200, f"/jobs/{self.failed[1]}/discard", actor="ada", reason="gone")

    def states(self, ids: list[str]) -> set[str]:
        return {self.api.job(id)["state"] for id in ids}


async def eventually(condition: Callable[[], Any]) -> None:
    """The worker runs in the loop of the test."""
    await asyncio.to_thread(until, condition)


async def go_all_ways(api: Api, ways: Ways) -> None:
    await asyncio.to_thread(ways.submit)
    await asyncio.to_thread(ways.keep)
    await eventually(lambda: ways.states(ways.failed) == {"failed"})
    await asyncio.to_thread(ways.operate)
    await eventually(lambda: ways.states([ways.half]) == {"retrying"})
    await eventually(lambda: ways.states(ways.ended) == {"succeeded"})
    again = f"/jobs/{ways.failed[0]}/attempts"
    await eventually(lambda: [one["number"] for one in api.get(again)["items"]] == [1, 2] * 2)
    await eventually(lambda: ways.states(ways.failed) == {"failed"})


async def everywhere(secret: Settings, core: Core, folder: Path) -> dict[str, dict[str, bytes]]:
    """All places, once the tables hold what Redis does."""
    pool = await queries.connect(secret)
    try:
        head = await core.logs.head(QUEUE)
        while (at := (await queries.checkpoints(pool)).get(QUEUE)) is None or at.seq < head.seq:
            await asyncio.sleep(0.01)
        places = {
            "redis": await in_redis(core.redis),
            "postgres": await in_postgres(secret.postgres_dsn),
        }
        for format in ("jsonl", "csv", "parquet"):
            exporter = Exporter(pool, core.logs, folder / format)
            await exporter.run(await exporter.open(format, secret.namespace, Span(), [QUEUE]))
            places[format] = in_folder(folder / format)
    finally:
        await pool.close()
    return places


async def imported(server: Postgres, template: str, folder: Path) -> dict[str, bytes]:
    """The tables that an export gives elsewhere."""
    server.execute(f"CREATE DATABASE copied TEMPLATE {template}")
    try:
        importer = Importer(server.dsn_of("copied"))
        assert await importer.take_export(folder) > 0
        importer.close()
        return await in_postgres(server.dsn_of("copied"))
    finally:
        server.execute("DROP DATABASE copied WITH (FORCE)")


def seen(api: Api, ways: Ways) -> str:
    """All that the API shows of them."""
    shown = [api.job(id) for id in ways.ended + ways.failed]
    shown += [
        api.get(f"/jobs/{id}/{part}") for id in ways.failed for part in ("events", "attempts")
    ]
    shown += [api.get("/jobs", limit=500), api.get("/dead-letters"), api.get("/schedules")]
    shown += [api.get("/events", limit=500), api.get(f"/schedules/{ways.name}/events")]
    return str(shown)


@pytest.mark.usefixtures("projector", "worker")
async def test_what_is_erased_stands_nowhere(
    api: Api,
    core: Core,
    secret: Settings,
    postgres_server: Postgres,
    migrated_template: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hers, nobodys = Ways(api, HERS, HER), Ways(api, NOBODYS, None)
    await go_all_ways(api, nobodys)
    await go_all_ways(api, hers)
    picky = await asyncio.to_thread(api.job, nobodys.failed[3])
    assert NOBODYS in picky["error"]["message"]
    before = await everywhere(secret, core, tmp_path / "before")
    assert HERS in await asyncio.to_thread(seen, api, hers)

    keys = SubjectKeys(core.redis, core.keys)
    wrapped = await keys.of(list(await core.redis.hkeys(core.keys.subjects)))
    raw = [key.wrapped for key in wrapped.values()]
    assert len(raw) == 1
    assert all(where(raw[0], before[server]) for server in ("redis", "postgres"))
    (erased,) = (await asyncio.to_thread(erase, api)).json()["keys"]

    after = await everywhere(secret, core, tmp_path / "after")
    for places in (before, after):
        for server, held in places.items():
            assert where(HERS, held) == [], server
            assert where(NOBODYS, held), server
            assert where(erased, held), f"{server} holds what was encrypted"
    assert [where(raw[0], held) for held in after.values()] == [[]] * len(after)
    assert HERS not in await asyncio.to_thread(seen, api, hers)
    copy = await imported(postgres_server, migrated_template, tmp_path / "after" / "jsonl")
    assert (where(HERS, copy), bool(where(NOBODYS, copy))) == ([], True)
    said = capsys.readouterr()
    assert HERS not in said.out + said.err
