"""A TCP proxy between a role and a server, whose manners are changed while it runs.

TCP never loses the middle of a stream: a connection from which something was dropped is cut before
it can go on with what no reader could make sense of.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
CHUNK = 65_536


@dataclass
class Flow:
    """One direction of all connections.

    delay     seconds that each chunk is held
    dropping  chunks are swallowed
    tears     of so many chunks only the first half is passed, and the connection cut
    """

    delay: float = 0.0
    dropping: bool = False
    tears: int = 0


@dataclass(eq=False)
class Link:
    """One connection that passes through."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    lossy: bool = False

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@dataclass
class Proxy:
    """Listens on `port`, and passes to `target` (a port of this machine).

    `requests` flow to the server, `replies` from it. While `refusing`, new connections are cut.
    """

    target: int
    requests: Flow = field(default_factory=Flow)
    replies: Flow = field(default_factory=Flow)
    refusing: bool = False
    port: int = 0
    _links: set[Link] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Cut all connections and take no more."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many pass through now."""
        return len(self._links)

    def cut(self) -> None:
        """Cut every connection there is."""
        for link in list(self._links):
            link.abort()

    def heal(self) -> None:
        """Pass everything again, but over what lost nothing."""
        self.requests = Flow()
        self.replies = Flow()
        self.refusing = False
        for link in list(self._links):
            if link.lossy:
                link.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            inward, outward = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link((writer, outward))
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, outward, "requests"))
                group.create_task(self._pump(link, inward, writer, "replies"))
        finally:
            self._links.discard(link)
            link.abort()

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        """Pass one direction to its end, and then end the other, too."""
        try:
            while chunk := await reader.read(CHUNK):
                flow: Flow = getattr(self, way)
                if flow.delay:
                    await asyncio.sleep(flow.delay)
                    flow = getattr(self, way)
                if writer.is_closing():
                    break
                if flow.dropping or link.lossy:
                    link.lossy = True
                    continue
                if flow.tears:
                    flow.tears -= 1
                    writer.write(chunk[: len(chunk) // 2])
                    break
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # an end of it is gone; the other is told below
        for one in link.writers:
            one.close()
