"""Keeps the roles and the servers of `millstream up` alive, and takes them down in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from ..core.embedded.process import EmbeddedError, ServerProcess
from ..core.errors import MillstreamError
from ..core.ready import RECYCLED, STALLED
from .child import Child, Lifeline

_log = structlog.get_logger(__name__)

_WATCH_SECONDS = 0.25
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
_STEADY_SECONDS = 30.0  # a role that ran this long starts again with the first pause


_ENDINGS = {RECYCLED: "it took too much memory", STALLED: "it had stopped working"}


class RoleError(MillstreamError):
    """A role ended before it was ready; what was wrong it has said itself."""


class Supervisor:
    """`children` in the order in which they are started; they are drained in reverse."""

    def __init__(
        self, children: Sequence[Child], servers: Sequence[ServerProcess], grace: float
    ) -> None:
        self._children = tuple(children)
        self._servers = tuple(servers)
        self._grace = grace
        self._lifeline = Lifeline()
        self._draining = False
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all at once; returns when every one is ready, raises when one cannot be."""
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(child.start(self._lifeline)) for child in self._children]
        failed = [
            child.name
            for child, task in zip(self._children, started, strict=True)
            if not task.result()
        ]
        if failed:
            raise RoleError(f"did not start: {', '.join(failed)} (see above)")
        self._keepers = [asyncio.create_task(self._keep(child)) for child in self._children]
        self._keepers += [asyncio.create_task(self._watch(server)) for server in self._servers]

    async def drain(self) -> None:
        """Workers first (they hand back their jobs), then the projector, then the API."""
        self._draining = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        names = list(dict.fromkeys(child.name for child in reversed(self._children)))
        for name in names:
            alike = [child for child in self._children if child.name == name]
            await asyncio.gather(*(child.drain(self._grace) for child in alike))
        self._lifeline.close()

    def kill(self) -> None:
        """Everything of ours, now."""
        self._draining = True
        for child in self._children:
            child.kill()

    async def _keep(self, child: Child) -> None:
        pause = _FIRST_PAUSE
        while True:
            since = time.monotonic()
            code = await child.wait()
            if self._draining:
                return
            if time.monotonic() - since > _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            child.kill()  # of its group: processes that its handlers left behind
            tell = _log.info if code == RECYCLED else _log.error
            tell("role ended, starting it again", child=child.name, code=code,
                 why=_ENDINGS.get(code), pause=pause)  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            await self._start_again(child)

    async def _start_again(self, child: Child) -> None:
        while True:
            try:
                await child.start(self._lifeline)
            except OSError as error:  # no memory or no process to be had: there may be later
                _log.error("role cannot be started", child=child.name, error=str(error))
                await asyncio.sleep(_LONGEST_PAUSE)
            else:
                return

    async def _watch(self, server: ServerProcess) -> None:
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if server.running:
                continue
            _log.error("server ended, starting it again", server=server.name)
            try:
                await asyncio.to_thread(server.start)
                pause = _FIRST_PAUSE
            except EmbeddedError as error:
                _log.error("server does not start", server=server.name, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
