"""Writes heads where the operator says: each at least once, each target's in their order.

Up to where a target was told is kept in the database, so a head that could not be written is
written later. A crash between writing and noting repeats it, which harms nobody: it is the same.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import structlog

from ...core.codec import encode
from ...core.config_values import redact
from ...core.errors import MillstreamError
from ...core.proof.heads import SignedHead, line_of
from ..connection import translated
from ..statements import statement
from .seals import seals

BATCH = 100
TIMEOUT = 10.0
MAX_REST = 60.0

log = structlog.get_logger("millstream.sealer")


class NotTold(MillstreamError):
    """A target did not take a head."""


class Teller:
    """One target: `log`, `file:PATH` or a URL that takes POST."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._name = redact(target)
        self._failures = 0
        self._next = 0.0

    async def turn(self, connection: Any) -> None:
        """Tell what is new; a target that fails rests for a while. Raises Unavailable."""
        if time.monotonic() < self._next:
            return
        try:
            await self._tell_new(connection)
            self._failures = 0
        except NotTold as error:
            self._failures += 1
            self._next = time.monotonic() + min(MAX_REST, 2.0**self._failures)
            log.warning("proof.not_told", target=self._name, reason=str(error))

    async def _tell_new(self, connection: Any) -> None:
        with translated():
            rows = await connection.fetch(statement("seals_untold"), self._name)
        for row in rows:
            batch: list[SignedHead] = []
            async for signed in seals(connection, row["partition"], row["number"]):
                batch.append(signed)
                if len(batch) == BATCH:
                    await self._tell(connection, batch)
                    batch = []
            if batch:
                await self._tell(connection, batch)

    async def _tell(self, connection: Any, batch: Sequence[SignedHead]) -> None:
        lines = [encode(line_of(signed)) for signed in batch]
        if self._target == "log":
            for line in lines:
                log.info("proof.head", head=line.decode())
        elif self._target.startswith("file:"):
            await asyncio.to_thread(_append, Path(self._target.removeprefix("file:")), lines)
        else:
            await _post(self._target, lines)
        last = batch[-1].head
        with translated():
            await connection.execute(
                statement("seals_told"), self._name, last.partition, last.number
            )


def _append(path: Path, lines: Sequence[bytes]) -> None:
    try:
        with path.open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotTold(f"{path}: {error.strerror}") from error


async def _post(url: str, lines: Sequence[bytes]) -> None:
    headers = {"content-type": "application/json"}
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
            for line in lines:
                answer = await client.post(url, content=line, headers=headers)
                if not answer.is_success:
                    raise NotTold(f"expected a status of 200 to 299, got {answer.status_code}")
    except httpx2.TransportError as error:
        raise NotTold(f"it cannot be reached: {error or type(error).__name__}") from error
