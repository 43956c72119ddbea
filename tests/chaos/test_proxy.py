"""The proxy passes, holds, loses and cuts what it is told to, in that direction alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from .proxy import LOOPBACK, Flow, Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def heard() -> list[bytes]:
    """What reached the server."""
    return []


@pytest.fixture
async def proxy(heard: list[bytes]) -> AsyncGenerator[Proxy]:
    """In front of a server that says everything twice."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1000):
                heard.append(chunk)
                writer.write(chunk * 2)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.aclose()
    server.close()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncGenerator[Streams]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(streams: Streams, text: bytes) -> bytes:
    """What comes back for a text of three bytes: six, or what there is at the end."""
    streams[1].write(text)
    try:
        return await asyncio.wait_for(streams[0].readexactly(6), 60)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""


async def ended(streams: Streams) -> bool:
    with suppress(ConnectionError):
        return await asyncio.wait_for(streams[0].read(1), 60) == b""
    return True


async def until_heard(heard: list[bytes], count: int) -> None:
    async with asyncio.timeout(60):
        while len(heard) < count:
            await asyncio.sleep(0.005)


async def test_passes_both_ways(proxy: Proxy) -> None:
    async with connected(proxy) as streams:
        assert await said(streams, b"abc") == b"abcabc"
        assert await said(streams, b"def") == b"defdef"
        assert proxy.connections == 1


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_holds_one_direction(proxy: Proxy, way: str) -> None:
    setattr(proxy, way, Flow(delay=0.2))
    async with connected(proxy) as streams:
        before = time.monotonic()
        assert await said(streams, b"abc") == b"abcabc"
        assert time.monotonic() - before > 0.19  # the loop counts whole ms


async def test_drops_replies_only_and_cuts_what_lost_some(proxy: Proxy, heard: list[bytes]) -> None:
    async with connected(proxy) as streams, connected(proxy) as other:
        assert await said(other, b"one") == b"oneone"
        proxy.replies.dropping = True
        streams[1].write(b"abc")
        await until_heard(heard, 2)
        assert heard[-1] == b"abc", "the request was served"
        async with asyncio.timeout(60):
            while not any(link.lossy for link in proxy._links):
                await asyncio.sleep(0.005)
        proxy.heal()
        assert await ended(streams)
        assert await said(other, b"two") == b"twotwo"


async def test_drops_requests(proxy: Proxy, heard: list[bytes]) -> None:
    proxy.requests.dropping = True
    async with connected(proxy) as streams:
        streams[1].write(b"abc")
        async with asyncio.timeout(60):
            while not any(link.lossy for link in proxy._links):
                await asyncio.sleep(0.005)
        proxy.heal()
        assert await ended(streams)
    assert heard == []


async def test_tears_a_reply(proxy: Proxy) -> None:
    proxy.replies.tears = 1
    async with connected(proxy) as streams:
        assert await said(streams, b"abc") == b"abc"
    async with connected(proxy) as streams:
        assert await said(streams, b"abc") == b"abcabc"


async def test_cuts_and_refuses(proxy: Proxy) -> None:
    async with connected(proxy) as streams:
        assert await said(streams, b"abc") == b"abcabc"
        proxy.refusing = True
        proxy.cut()
        assert await ended(streams)
        async with connected(proxy) as later:
            assert await ended(later)
        proxy.heal()
        async with connected(proxy) as last:
            assert await said(last, b"abc") == b"abcabc"


async def test_a_server_that_is_gone(proxy: Proxy) -> None:
    proxy.target = 1
    async with connected(proxy) as streams:
        assert await ended(streams)
