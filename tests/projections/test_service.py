"""What runs beside the projector."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from millstream.projections import service


async def test_a_part_that_dies_is_told_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "AGAIN", 0.0)
    runs: list[int] = []

    async def part() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise ValueError("nobody thought of this")

    with capture_logs() as told:
        await service._kept("part", part)
    assert runs == [0, 1, 2]
    assert [(one["event"], one["part"]) for one in told] == [("projector.part_failed", "part")] * 2
