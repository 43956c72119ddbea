"""What the system says of itself: its own audits find nothing where nothing is wrong."""

from __future__ import annotations

from typing import Any

import anyio

from millstream.core.audits.report import Report

from .client import Client
from .stage import Stage

PAUSE = 2.0
CLEARS_WITHIN = 60.0
"""Seconds in which what was found must be gone again: a round over all live jobs, of which there
are none, and the ten seconds in which each queue is written."""

NEVER = ("lost", "doubled")
"""What no fault makes true. Stuck is what waits for a server that was killed, too."""


class Witness:
    """Asks `GET /audit` all the time, and at the end `millstream verify`.

    stuck     how often the answer named jobs that were
    verified  exit code and output of the last word
    """

    def __init__(self) -> None:
        self.stuck = 0
        self._astray: dict[tuple[str, str], str] = {}
        self.verified: tuple[int, str] = (0, "")
        self._left: dict[str, int] = {}

    async def watch(self, client: Client) -> None:
        """Ask for ever."""
        while True:
            await self._ask(client)
            await anyio.sleep(PAUSE)

    async def _ask(self, client: Client) -> bool:
        """Ask once; whether there was an answer, and nothing in it."""
        status, told = await client.ask("GET", "/audit")
        if status != 200:
            return False
        self.hear(told)
        return not self._left

    def hear(self, told: dict[str, Any]) -> None:
        """Take note of an answer."""
        self._left = {kind: told[kind] for kind in (*NEVER, "stuck") if told[kind]}
        self.stuck += "stuck" in self._left
        for queue in told["items"]:
            for kind in NEVER:
                for job in queue["examples"].get(kind, ()):
                    self._astray[kind, job["id"]] = job["why"]

    async def last(self, client: Client, stage: Stage) -> None:
        """All has come to rest: nothing is astray any more, and the tables are verified."""
        with anyio.move_on_after(CLEARS_WITHIN):
            while not await self._ask(client):
                await anyio.sleep(0.5)
        self.verified = await stage.command("verify")

    def close(self, report: Report) -> None:
        """Report what there is to complain of."""
        for (kind, job), why in self._astray.items():
            report.add(f"told-{kind}", job, why)
        for kind, count in self._left.items():
            report.add("told-astray", kind, f"expected none once all is over, got {count}")
        code, text = self.verified
        if code:
            report.add("not-verified", f"exit code {code}", text)
