"""One run: raise the system, load it, hurt it, let it come to rest, and audit what happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio

from millstream.core.connection import connect
from millstream.core.keys import Keys
from millstream.projections.connection import connect_once

from .client import Client, Wish, batch, lone
from .diary import Diary
from .flows import flow
from .injury import Surgeon
from .judgement import QUEUES, Plan, Recorded, Result, judged
from .kinds import LIMITS, drawn, of_kind
from .operators import Operator
from .plan import WORKERS, plan
from .stage import Stage, raised
from .witness import Witness

DRAINS_WITHIN = 120.0
"""Seconds beyond those of the run: what its workers died of runs apart, a few at a time."""

CALM_JOBS = 100
ACKS = {"memory": 16, "fsync": 3, "archived": 1}
"""Level at which a submission is acknowledged → how often."""

CLIENTS = 8
OPERATORS = 3


Say = Callable[[str], None]


class Run:
    """One run in a folder of its own, which is left for inspection."""

    def __init__(self, folder: Path, plan: Plan, say: Say) -> None:
        self.folder = folder
        self.plan = plan
        self._say = say
        self._begun = time.monotonic()
        self._diary = Diary(_made(folder) / "operations.jsonl")
        self._submitted = 0

    async def run(self) -> Result:
        """All of it. Raises what keeps it from its end; violations are in the report."""
        result: Result | None = None
        async with raised(self.folder) as stage, anyio.create_task_group() as roles:
            try:
                await stage.start(roles)
                result = await self._with(stage)
            finally:
                with anyio.CancelScope(shield=True):
                    roles.cancel_scope.cancel()
                    await stage.aclose()
        assert result is not None, "expected it to come to its end"
        return result

    async def _with(self, stage: Stage) -> Result:
        client = Client(f"http://127.0.0.1:{stage.api}", self._diary, self.plan.seed)
        operators = [Operator(client, f"{self.plan.seed} {n}") for n in range(OPERATORS)]
        surgeon, witness = Surgeon(stage, self._tell), Witness()
        faults = plan(self.plan.seed, self.plan.seconds, self.plan.pause)
        try:
            await operators[0].prepare(LIMITS)
            async with anyio.create_task_group() as pressing:
                pressing.start_soon(witness.watch, client)
                for operator in operators:
                    pressing.start_soon(operator.work, 0.5)
                async with anyio.create_task_group() as group:
                    group.start_soon(surgeon.work, faults)
                    group.start_soon(self._load, client)
                    group.start_soon(self._progress, stage, group.cancel_scope)
                pressing.cancel_scope.cancel()
            self._tell("no more faults: all is to come to its end")
            await operators[0].rest()
            rests = await self._drained(stage)
            if rests:
                await self._calm(client)
                rests = await self._drained(stage)
                await witness.last(client, stage)
            if not rests:  # it is audited as it stands, and must stand still for that
                await stage.halt(*WORKERS)
        finally:
            await client.aclose()
            self._diary.close()
        self._tell("audit")
        return await judged(
            Recorded(self.plan, self.folder, self._diary, stage, surgeon.injuries, witness)
        )

    async def _load(self, client: Client) -> None:
        """Submit evenly over the time there is, from several clients."""
        random = Random(f"load {self.plan.seed}")
        begun, number = time.monotonic(), 0
        async with anyio.create_task_group() as group:
            free = anyio.Semaphore(CLIENTS)
            for _ in range(self.plan.poison):
                await free.acquire()
                wish = lone(of_kind("Poison", random, number))
                group.start_soon(self._submit, free, client, wish, True)
            while number < self.plan.jobs:
                wish = self._wish(random, number)
                number += len(wish.jobs) + len(wish.more)
                due = begun + self.plan.seconds * 0.95 * number / self.plan.jobs
                await anyio.sleep(max(0.0, due - time.monotonic()))
                await free.acquire()
                group.start_soon(self._submit, free, client, wish, random.random() < 0.9)

    def _wish(self, random: Random, number: int) -> Wish:
        """The next request, from job `number` on; batches are so large that there are enough."""
        (ack,) = random.choices(list(ACKS), list(ACKS.values()))
        if random.random() < 0.6:
            return lone(drawn(random, number), ack)
        if random.random() < 0.4:
            return flow(random, number)
        size = random.randint(2, max(10, min(500, self.plan.jobs // 400)))
        return batch([drawn(random, number + n) for n in range(size)], ack)

    async def _submit(self, free: anyio.Semaphore, client: Client, wish: Wish, keyed: bool) -> None:
        try:
            await client.submit(wish, keyed=keyed)
            self._submitted += len(wish.jobs) + len(wish.more)
        finally:
            free.release()

    async def _calm(self, client: Client) -> None:
        """Jobs that nothing disturbs have to begin in time."""
        random = Random(self.plan.seed)
        bodies = [
            of_kind("Delayed", random, number) | {"tags": ["calm"], "delay": random.uniform(0, 2)}
            for number in range(CALM_JOBS)
        ]
        await client.submit(batch(bodies), keyed=True)

    async def _drained(self, stage: Stage) -> bool:
        """Wait until no job lives and the tables have caught up; whether that came.

        What does not end is told here, and found by the audit.
        """
        left: dict[str, Any] = {}
        most = DRAINS_WITHIN + self.plan.seconds
        with anyio.move_on_after(most) as scope:
            while left := await _left(stage):
                await anyio.sleep(0.3)
        if scope.cancelled_caught:
            self._tell(f"it did not come to rest within {most:g} s: {left}")
        return not left

    async def _progress(self, stage: Stage, scope: anyio.CancelScope) -> None:
        """Tell every ten seconds how far it is, until the time is over and all is submitted."""
        told = 0
        while time.monotonic() - self._begun < self.plan.seconds or (
            self._submitted < self.plan.jobs
        ):
            await anyio.sleep(0.5)
            if time.monotonic() - self._begun >= told + 10:
                told += 10
                self._tell(f"{self._submitted} of {self.plan.jobs} jobs submitted")

    def _tell(self, text: str) -> None:
        self._say(f"[{time.monotonic() - self._begun:6.1f} s] {text}")


async def _left(stage: Stage) -> dict[str, Any]:
    """What is still to be done: live jobs, and events that the tables do not have."""
    redis: Any = connect(stage.valkey.url, timeout=10)
    keys, found = Keys(), dict[str, Any]()
    connection = await connect_once(stage.postgres.dsn, timeout=10, role="chaos")
    try:
        for queue in QUEUES:
            pattern = f"{keys.base(queue)}:job:*"
            live = [key async for key in redis.scan_iter(match=pattern, count=5000)]
            seq = int(await redis.hget(keys.meta(queue), "seq") or 0)
            query = "SELECT seq FROM checkpoints WHERE partition = $1"
            seen = await connection.fetchval(query, queue) or 0
            if live or seq != seen:
                found[queue] = {"live": len(live), "behind": seq - seen}
    finally:
        await connection.close()
        await redis.aclose()
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
