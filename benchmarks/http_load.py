"""A small HTTP/1.1 client that costs little, so that what is measured is the server."""

import asyncio
import time
from typing import NamedTuple

import msgspec

from .jobs import PAYLOAD

HOST = "127.0.0.1"


class Load(NamedTuple):
    """Requests per second, and how long each took."""

    rate: float
    seconds: list[float]


def post(path: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request over an open connection and read the answer's body; 2xx or an error."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    body = await reader.readexactly(int(lower[at : lower.index(b"\r\n", at)]))
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:500].decode()}")
    return body


async def singles(port: int, connections: int, count: int) -> Load:
    """Submit `count` jobs one by one over `connections`, each waiting for its answer."""
    request = post("/api/v1/jobs", msgspec.json.encode({"type": "bench.noop", "payload": PAYLOAD}))
    seconds: list[float] = []

    async def client(share: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for _ in range(share):
            begin = time.perf_counter()
            await ask(reader, writer, request)
            seconds.append(time.perf_counter() - begin)
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client(count // connections) for _ in range(connections)))
    return Load(len(seconds) / (time.perf_counter() - begin), seconds)


async def bulk(port: int, batches: int, size: int, connections: int = 2) -> float:
    """Submit `batches` of `size` jobs; jobs per second."""
    jobs = [{"type": "bench.noop", "payload": PAYLOAD}] * size
    request = post("/api/v1/jobs/batch", msgspec.json.encode({"jobs": jobs}))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(HOST, port, limit=2**24)
        for _ in range(batches // connections):
            await ask(reader, writer, request)
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    return batches // connections * connections * size / (time.perf_counter() - begin)
