"""Does to the system what the plan says, and mends it again."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import msgspec
from anyio import to_thread

from .plan import Fault
from .proxy import Flow
from .stage import Stage


class Injury(msgspec.Struct, frozen=True):
    """A fault that came, from when until when (seconds since 1970)."""

    fault: Fault
    begin: float
    end: float


class Surgeon:
    """Carries faults out. `injuries`: those that are over."""

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self.injuries: list[Injury] = []
        self._stage = stage
        self._say = say

    async def work(self, faults: list[Fault]) -> None:
        """All of them, each at its time; returns when all is mended."""
        begun = time.monotonic()
        async with anyio.create_task_group() as group:
            for fault in faults:
                await anyio.sleep(begun + fault.at - time.monotonic())
                group.start_soon(self._carry_out, fault)

    async def _carry_out(self, fault: Fault) -> None:
        self._say(str(fault))
        begin = time.time()
        async with HURT[fault.kind](self._stage, fault):
            await anyio.sleep(fault.seconds)
        self.injuries.append(Injury(fault, begin, time.time()))


Hurt = Callable[[Stage, Fault], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _kill(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    role = stage.roles[fault.target]
    role.pause = fault.seconds
    role.send(signal.SIGKILL)
    yield


@asynccontextmanager
async def _deploy(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    role = stage.roles[fault.target]
    role.pause = fault.seconds
    role.send(signal.SIGTERM)
    yield


@asynccontextmanager
async def _freeze(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    if fault.target == "valkey":
        hold: Callable[[signal.Signals], None] = stage.valkey.kill
    else:
        hold = stage.roles[fault.target].send
    hold(signal.SIGSTOP)
    try:
        yield
    finally:
        hold(signal.SIGCONT)


@asynccontextmanager
async def _kill_server(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    server = getattr(stage, fault.target)
    await to_thread.run_sync(server.kill)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(server.start)


@asynccontextmanager
async def _spoil(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    proxy = stage.proxies[fault.target]
    manner, _, way = fault.kind.partition("-")
    flow = Flow(delay=fault.delay, dropping=manner == "drop", tears=3 if manner == "tear" else 0)
    setattr(proxy, way, flow)
    try:
        yield
    finally:
        proxy.heal()


@asynccontextmanager
async def _cut(stage: Stage, fault: Fault) -> AsyncGenerator[None]:
    proxy = stage.proxies[fault.target]
    proxy.refusing = fault.kind == "part"
    proxy.cut()
    try:
        yield
    finally:
        proxy.heal()


HURT: dict[str, Hurt] = {
    "kill": _kill,
    "deploy": _deploy,
    "freeze": _freeze,
    "freeze-role": _freeze,
    "kill-server": _kill_server,
    "slow-requests": _spoil,
    "slow-replies": _spoil,
    "drop-requests": _spoil,
    "drop-replies": _spoil,
    "tear-replies": _spoil,
    "cut": _cut,
    "part": _cut,
}
