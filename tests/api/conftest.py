"""A real uvicorn server in a thread, on a free port, over real servers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
import pytest
import redis
import uvloop

from millstream.api import server
from millstream.core import connection
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory, Finish

DEADLINE = 60.0


@dataclass
class Api:
    """A server under test, and a client of it."""

    url: str
    client: httpx2.Client
    server: server.Server

    @property
    def app(self) -> Any:
        return self.server.config.app

    def submit(self, type: str = "a.job", **fields: Any) -> str:
        response = self.client.post("/api/v1/jobs", json={"type": type, **fields})
        assert response.status_code == 201, response.text
        return response.json()["id"]

    def get(self, path: str, **query: Any) -> Any:
        response = self.client.get(f"/api/v1{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def job(self, id: str, **query: Any) -> Any:
        return self.get(f"/jobs/{id}", **query)


@contextlib.contextmanager
def running(settings: Settings) -> Generator[Api]:
    """An API over `settings`, on a port of its own."""
    listener = server.bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    served = server.Server(server.configure(msgspec.structs.replace(settings, port=port)))
    thread = threading.Thread(
        target=lambda: uvloop.run(served.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    until(lambda: served.started or not thread.is_alive())
    assert served.started, "the server did not start"
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(base_url=url, timeout=90) as client:
            yield Api(url, client, served)
    finally:
        served.should_exit = True
        thread.join(DEADLINE)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running(settings) as found:
        yield found


@pytest.fixture(scope="module")
def shared(
    valkey_server: Valkey, postgres_server: Postgres, migrated_template: str
) -> Iterator[Api]:
    """One API for all tests of a module, for those that leave nothing behind."""
    valkey_server.start()
    postgres_server.start()
    name = f"shared_{uuid.uuid4().hex[:8]}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    settings = Settings(
        redis_url=valkey_server.url, postgres_dsn=postgres_server.dsn_of(name), namespace=name
    )
    with running(settings) as found:
        yield found
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def nothing_done(shared: Api) -> Iterator[None]:
    """Fails a test that left anything in Redis."""

    def found() -> list[bytes]:
        settings = shared.app.state.settings
        with redis.Redis.from_url(settings.redis_url) as client:
            pattern = f"*{settings.namespace}:*"
            keys = list(client.scan_iter(pattern))
            return sorted(keys) + [client.hget(key, "seq") for key in keys if b":meta" in key]

    before = found()
    yield
    assert found() == before


@contextlib.contextmanager
def projecting(settings: Settings) -> Generator[None]:
    """A projector in a thread."""
    from millstream.projections.service import project

    loop = uvloop.new_event_loop()
    stop = asyncio.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(project(settings, stop))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the projector did not stop"
    assert not failed, failed


@pytest.fixture
def projector(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tables that follow the log: who waits for them does so however busy the machine is."""
    monkeypatch.setattr("millstream.api.acting.SETTLE", DEADLINE)
    monkeypatch.setattr("millstream.api.lookup.CATCH_UP", DEADLINE)
    with projecting(settings):
        yield


def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """What `condition` gives once it is true."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)
    return found


@dataclass
class Core:
    """The queue itself, beside the API: tests play worker with it."""

    redis: Any
    keys: Keys
    directory: Directory = field(init=False)
    logs: LogReader = field(init=False)

    def __post_init__(self) -> None:
        self.directory = Directory(self.redis, self.keys)
        self.logs = LogReader(self.redis, self.keys)

    async def events(self, partition: str = "default") -> list[Any]:
        return await self.logs.range(partition, count=100_000)

    async def claim(self, partition: str = "default", limit: int = 10) -> Any:
        return (await self.directory.queue(partition).claim("tester", limit)).leases

    async def finish(self, lease: Any, verdict: Any, body: bytes = b"{}", end: bytes = b"") -> None:
        done = Finish(lease.id, lease.fence, verdict, body, 0, end)
        assert await self.directory.queue(lease.partition).finish([done]) == [True]

    async def succeed(self, lease: Any, result: object = None) -> None:
        data = {"result": {"data": result, "codec": "json"}}
        await self.finish(lease, "succeeded", msgspec.json.encode(data))

    async def fail(self, lease: Any, message: str = "it broke") -> None:
        fault = {"type": "ValueError", "message": message, "traceback": "line 1"}
        attempt = msgspec.json.encode({"error": fault})
        end = msgspec.json.encode({"reason": "exhausted", "error": fault})
        await self.finish(lease, "failed", attempt, end)


@pytest.fixture
async def core(settings: Settings) -> AsyncIterator[Core]:
    client = connection.connect(settings.redis_url, timeout=60)
    yield Core(client, Keys(settings.namespace))
    await client.aclose()


def problem(response: httpx2.Response, status: int, kind: str | None = None) -> Any:
    """The problem details of an answer, of the shape all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["type"].startswith("urn:millstream:problem:")
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    if kind is not None:
        assert found["type"].removeprefix("urn:millstream:problem:") == kind
    for fault in found.get("errors", []):
        assert set(fault) >= {"path", "message"}
    return found
