"""Connections: the driver never repeats a command, and its errors become ours in one place."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import exceptions

from millstream.core.connection import (
    call,
    check_server,
    connect,
    connect_blocking,
    connect_sync,
    conversation,
    translated,
)
from millstream.core.embedded import Valkey
from millstream.core.errors import (
    GroupLost,
    IdTaken,
    LogLost,
    MemoryFull,
    MillstreamError,
    ServerUnfit,
    Unavailable,
)
from millstream.core.events import JobSubmitted
from millstream.core.ids import new_id
from millstream.core.keys import Keys
from millstream.core.queue import PartitionQueue, new_job
from millstream.core.renewing import LeaseRenewer
from millstream.core.scripts import script
from tests.invariants import check


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = connect(redis_url, timeout=10)
    yield client
    await client.aclose()


@pytest.fixture
async def patient(redis_url: str) -> AsyncIterator[Any]:
    """A client with one connection; the server knows the verb submit."""
    client = connect(redis_url, timeout=30, connections=1)
    await client.script_load(script("submit").source)
    yield client
    await client.aclose()


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (exceptions.ConnectionError("refused"), Unavailable),
        (exceptions.TimeoutError(), Unavailable),
        (exceptions.BusyLoadingError("loading"), Unavailable),
        (TimeoutError(), Unavailable),
        (ConnectionResetError("reset"), Unavailable),
        (exceptions.OutOfMemoryError("used > maxmemory"), MemoryFull),
        (exceptions.ResponseError("MISCONF no space"), Unavailable),
        (exceptions.ResponseError("BUSY a script runs"), Unavailable),
        (exceptions.ResponseError("LOADING"), Unavailable),
        (exceptions.ResponseError("LOGLOST the log is gone"), LogLost),
        (exceptions.ResponseError("NOGROUP No such key"), GroupLost),
        (exceptions.ResponseError("OOM command not allowed"), MemoryFull),
        (exceptions.ResponseError("IDTAKEN x"), IdTaken),
    ],
)
def test_errors_are_translated(error: Exception, ours: type[MillstreamError]) -> None:
    with pytest.raises(ours) as caught, translated():
        raise error
    assert type(caught.value) is ours
    assert caught.value.__cause__ is error


UNABLE = {
    "demoted": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "without replicas": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "not in our favour": (
        ("ACL", "SETUSER", "default", "-evalsha"),
        ("ACL", "SETUSER", "default", "+evalsha"),
    ),
}
"""How a server comes not to do what it is asked, and back."""


@pytest.mark.parametrize("how", UNABLE)
async def test_a_server_that_is_not_able_to_may_be_later(
    redis: Any, redis_url: str, how: str
) -> None:
    queue, job = PartitionQueue(redis, "default", Keys()), new_id("default")
    await queue.submit([new_job(job, JobSubmitted("noop"))])
    before, after = UNABLE[how]
    with connect_sync(redis_url, timeout=5) as client:
        renewer = LeaseRenewer(client, Keys(), "w1")
        renewer.renew("default", [("x", 2)])
        await call(redis, *before)
        try:
            with pytest.raises(Unavailable):
                await queue.claim("w1", 1)
            with pytest.raises(Unavailable):
                renewer.renew("default", [("x", 2)])
        finally:
            await call(redis, *after)
    assert [lease.id for lease in (await queue.claim("w1", 1)).leases] == [job]


async def test_a_connection_to_a_demoted_server_is_given_up(redis_url: str) -> None:
    client = connect(redis_url, timeout=5, connections=1)
    try:
        first = await call(client, "CLIENT", "ID")
        assert await call(client, "CLIENT", "ID") == first
        await call(client, "REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(exceptions.ReadOnlyError):
                await call(client, "SET", "a", "1")
            assert await call(client, "CLIENT", "ID") != first
        finally:
            await call(client, "REPLICAOF", "NO", "ONE")
    finally:
        await client.aclose()


@pytest.mark.parametrize("error", [exceptions.ResponseError("WRONGTYPE"), ValueError("ours")])
def test_errors_that_are_a_defect_come_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


def test_an_error_without_text_is_named() -> None:
    with pytest.raises(Unavailable, match="did not answer: TimeoutError"), translated():
        raise TimeoutError


async def test_a_server_that_evicts_is_refused(redis: Any) -> None:
    await check_server(redis)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerUnfit, match=r"expected 'noeviction', got: 'allkeys-lru'"):
            await check_server(redis)
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    await check_server(redis)


async def test_a_server_that_tells_nothing_of_itself_is_taken(redis: Any, redis_url: str) -> None:
    await redis.execute_command(
        "ACL", "SETUSER", "tenant", "on", ">secret", "~*", "+@all", "-config"
    )
    host = redis_url.rpartition("@")[2]
    tenant = connect(f"redis://tenant:secret@{host}", timeout=10)
    try:
        await check_server(tenant)
    finally:
        await tenant.aclose()
        await redis.execute_command("ACL", "DELUSER", "tenant")


async def test_a_server_that_is_not_there() -> None:
    client = connect("redis://127.0.0.1:1/0", timeout=1)
    with pytest.raises(Unavailable):
        await check_server(client)
    await client.aclose()


async def test_a_blocking_client_waits_longer_than_its_block(redis_url: str) -> None:
    client = connect_blocking(redis_url, block=6.0, timeout=0.1)
    try:
        assert await client.execute_command("BLPOP", "nothing", "0.3") is None
        assert client.get_connection_kwargs()["socket_timeout"] == 8.0
    finally:
        await client.aclose()


@contextmanager
def counting_connections(url: str) -> Generator[Callable[[], int]]:
    """Gives what tells how many connections were made meanwhile: a driver that tries a command
    again makes one for that."""
    with connect_sync(url, timeout=30) as observer:

        def total() -> int:
            info: Any = observer.info("stats")
            return int(info["total_connections_received"])

        before = total()
        yield lambda: made
        made = total() - before


async def _frozen_submit(server: Valkey, client: Any, job: str) -> None:
    """Submit to a server that is stopped until the caller, who waits 0.3 s, has given up."""
    queue, pid = PartitionQueue(client, "default", Keys()), server.pid
    assert pid is not None
    (connection,) = client.connection_pool._available_connections
    patience, connection.socket_timeout = connection.socket_timeout, 0.3
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            await queue.submit([new_job(job, JobSubmitted("noop"))], "c1")
    finally:
        connection.socket_timeout = patience
        os.kill(pid, signal.SIGCONT)


async def test_a_submission_sent_again_after_a_freeze_is_one_job(
    patient: Any, redis_url: str, valkey_server: Valkey
) -> None:
    queue, job = PartitionQueue(patient, "default", Keys()), new_id("default")
    with counting_connections(redis_url) as made:
        await _frozen_submit(valkey_server, patient, job)
    assert made() == 0, "the driver tried again"
    receipt = await queue.submit([new_job(job, JobSubmitted("noop"))], "c1")
    assert (receipt.again, receipt.first_seq) == (True, 1)
    assert [lease.id for lease in (await queue.claim("w1", 10)).leases] == [job]
    report = (await check(redis_url, ["default"], acknowledged=[job])).require()
    assert report.events == 2


async def test_the_connection_of_a_lost_reply_is_not_used_again(
    patient: Any, valkey_server: Valkey
) -> None:
    await _frozen_submit(valkey_server, patient, new_id("default"))
    assert await patient.echo(b"mine") == b"mine"  # not the late reply of the submission


async def test_more_calls_than_connections_wait_for_one(redis_url: str) -> None:
    client = connect(redis_url, timeout=60, connections=3)
    told = await asyncio.gather(*(call(client, "INCR", "n") for _ in range(500)))
    assert sorted(told) == list(range(1, 501))
    with translated():
        clients = await client.client_list()
    assert len(clients) == 3
    await client.aclose()


async def test_who_waits_too_long_for_a_connection_is_told(redis_url: str) -> None:
    client = connect(redis_url, timeout=1.5, connections=1)
    pool = client.connection_pool
    connection: Any = await pool.get_connection()
    with pytest.raises(Unavailable, match="all 1 connections were in use"), translated():
        await call(client, "PING")
    waiting = asyncio.ensure_future(pool.get_connection())
    await asyncio.sleep(0)
    await pool.release(connection)
    assert await waiting is connection, "who gave up before does not get it"
    await pool.release(connection)
    await client.aclose()


async def test_who_is_cancelled_with_a_connection_given_passes_it_on(redis_url: str) -> None:
    client = connect(redis_url, timeout=60, connections=1)
    pool = client.connection_pool
    connection: Any = await pool.get_connection()
    first, second = (asyncio.ensure_future(pool.get_connection()) for _ in range(2))
    await asyncio.sleep(0)
    await pool.release(connection)
    first.cancel()  # it was given, and not taken yet
    assert await second is connection
    assert first.cancelled()
    await pool.release(connection)
    await client.aclose()


@pytest.mark.parametrize("connections", [1, 2, 4])
async def test_cancelled_calls_cross_no_replies(redis_url: str, connections: int) -> None:
    """Whether they have a connection or wait for one; and none is lost."""
    client = connect(redis_url, timeout=10, connections=connections)

    async def echo(n: int) -> None:
        assert await client.echo(str(n)) == str(n).encode()

    for turn in range(60):
        tasks = [asyncio.ensure_future(echo(n)) for n in range(4)]
        for _ in range(turn % 6):
            await asyncio.sleep(0)
        tasks[turn % 4].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        bad = [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)]
        assert bad == []
    await asyncio.gather(*(echo(n) for n in range(4)))
    await client.aclose()


async def test_a_thread_s_client_does_not_try_again_either(
    redis_url: str, valkey_server: Valkey
) -> None:
    with connect_sync(redis_url, timeout=30) as client:
        connection: Any = client.connection_pool.get_connection()
        connection.update_current_socket_timeout(0.3)  # until it is connected anew
        client.connection_pool.release(connection)
        renewer, pid = LeaseRenewer(client, Keys(), "w1"), valkey_server.pid
        assert pid is not None
        with counting_connections(redis_url) as made:
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(Unavailable):
                    renewer.renew("default", [("x", 2)])
            finally:
                os.kill(pid, signal.SIGCONT)
        assert made() == 0, "the driver tried again"
        assert renewer.renew("default", [("x", 2)]) == [0]


async def test_a_conversation_cut_off_leaves_no_reply_to_others(redis_url: str) -> None:
    client = connect(redis_url, timeout=5, connections=1)
    try:
        async with conversation(client) as ask:
            set_, wrong, get = await ask(("SET", "a", 1), ("HGET", "a", "b"), ("GET", "a"))
            assert (set_, get) == (b"OK", b"1")
            assert isinstance(wrong, exceptions.ResponseError)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), conversation(client) as ask:
                await ask(("BLPOP", "none", 1), ("GET", "a"))
        assert await call(client, "PING") == b"PONG"
    finally:
        await client.aclose()
