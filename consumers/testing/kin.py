"""Jobs that wait for others are told of their ends, as by workers and by who has the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...core.events import Record
from ...core.jobs import fold
from ...core.joining import Joiner
from ...core.linking import Outcome, Overdue, outcome_in
from ...core.upcast import decode
from .ground import Ground

LONG_MS = 300_000
"""After so long it is looked into what a job waits for."""

EVERY = 10_000
"""All there are."""


class Kin:
    """What a worker's joiner does, and the linker for jobs whose parents were over before them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._joiner = Joiner(ground.directory)

    async def tell(self) -> bool:
        """Tell of all ends, in every queue; whether there were any."""
        told = False
        for partition in await self._ground.directory.linked():
            queue = self._ground.directory.queue(partition)
            if found := await queue.overdue(LONG_MS, EVERY, EVERY, look_ms=LONG_MS):
                told = await self._find_out(partition, found) or told
            if await queue.outbox():
                await self._joiner.deliver(partition)
                told = True
        return told

    async def _find_out(self, partition: str, found: Sequence[Overdue]) -> bool:
        """Tell jobs of parents that ended before they were told to tell of it."""
        await self._ground.refresh()
        news: dict[str, list[tuple[str, Outcome]]] = {}
        for one in found:
            for parent in one.parents:
                if outcome := await self._outcome(parent, one):
                    news.setdefault(one.job, []).append((parent, outcome))
        if news:
            await self._ground.directory.queue(partition).join(news)
        return bool(news)

    async def _outcome(self, parent: str, waiting: Overdue) -> Outcome | None:
        """How a job ended; None: it lives, and will tell."""
        job = fold((one, decode(one)) for one in _of(parent, self._ground.records()))
        if job is None:
            return "missing"
        outcome = outcome_in(job.state, discarded=job.discarded)
        stays = waiting.policy == "wait" and outcome in ("failed", "cancelled")
        if stays or outcome is None:
            pair = parent, waiting.job + ("*" if waiting.policy == "wait" else "")
            for name in await self._ground.directory.partitions_of(parent):
                await self._ground.directory.queue(name).watch([pair], ended=stays)
        return outcome


def _of(job: str, records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.job == job]
