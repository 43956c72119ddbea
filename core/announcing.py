"""Workers come to a partition, leave it and are lost: the typed face of those verbs."""

from collections.abc import Mapping, Sequence
from typing import Any

from .codec import encode
from .connection import call, translated
from .events import WorkerStarted, WorkerStopped, body_of
from .face import Face


class Announcing(Face):
    """Workers of a partition."""

    __slots__ = ()

    async def announce(
        self, event: WorkerStarted | WorkerStopped, types: Mapping[str, Any] | None = None
    ) -> None:
        """Say that a worker begins or ends to serve this partition; `types`: name → defaults."""
        args: list[Any] = [event.name, body_of(event), event.worker]
        for name, defaults in (types or {}).items():
            args += (name, encode(defaults))
        await self._run("announce", args)

    async def lose(self, workers: Sequence[str]) -> list[bool]:
        """Say that workers are gone without a word; True where nobody had said so yet."""
        return [reply == 1 for reply in await self._run("lose", list(workers))]

    async def serving(self) -> set[str]:
        """The workers that came, and neither left nor were lost."""
        with translated():
            found = await call(self._redis, "SMEMBERS", self._keys.serving(self.partition))
        return {name.decode() for name in found}
