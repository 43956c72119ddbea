"""What the driver raises becomes ours where it means trouble, and passes where it means a fault."""

from __future__ import annotations

import asyncpg
import pytest

from millstream.core.errors import Unavailable
from millstream.projections.connection import translated


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        # Met by a projector whose server was killed: asyncpg gets the end of the connection while
        # it prepares a statement, and refuses to go on with it.
        asyncpg.InternalClientError("cannot switch to state 12; another operation is under way"),
    ],
)  # fmt: skip
def test_trouble(error: Exception) -> None:
    with pytest.raises(Unavailable, match="PostgreSQL cannot do this now"), translated():
        raise error


def test_a_fault_of_ours_is_none() -> None:
    with pytest.raises(asyncpg.UniqueViolationError), translated():
        raise asyncpg.UniqueViolationError("twice")
