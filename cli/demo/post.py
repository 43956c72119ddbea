"""The mail server of the demo: it keeps what it gets, and is as unreliable as a real one."""

from __future__ import annotations

import email
from collections import Counter
from typing import Any

from aiosmtpd.controller import Controller

from ...core.embedded.ports import LOOPBACK, free_port


class PostOffice:
    """Refuses `flaky…` addresses once and `bounce…` always, both with a code that means: later."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: Counter[str] = Counter()  #: Message-ID → how often it was taken
        self.subjects: list[str] = []
        self.refused = 0
        self._seen: set[str] = set()
        self._controller = Controller(self, hostname=LOOPBACK, port=self.port)

    async def handle_RCPT(  # noqa: N802 (the name aiosmtpd calls)
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        first = address not in self._seen
        self._seen.add(address)
        if address.startswith("bounce") or (address.startswith("flaky") and first):
            self.refused += 1
            return "451 the mailbox is busy, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content)
        self.received[message["Message-ID"]] += 1
        self.subjects.append(f"{message['To']}: {message['Subject']}")
        return "250 kept"

    def __enter__(self) -> PostOffice:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
