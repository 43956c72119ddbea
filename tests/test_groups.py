"""Tests of a group run in one process: a mark that is passed over shows nowhere else."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("groups")


def test_the_scheduler_is_told_the_group(request: pytest.FixtureRequest) -> None:
    told = request.node.nodeid.endswith("@groups")
    assert told == bool(request.config.getoption("loadgroup", False))
