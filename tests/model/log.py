"""The log: what happened, in order."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """An event without its envelope: whose, which, and what it says."""

    type: str
    job: str
    version: int
    body: dict[str, Any]


def says(body: bytes) -> dict[str, Any]:
    """What a body says, apart from how it is written."""
    return json.loads(body)


class Log(list[Fact]):
    """All facts; the seq of a fact is its place, from 1."""

    @property
    def seq(self) -> int:
        """Seq of the last fact."""
        return len(self)
