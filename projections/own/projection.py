"""What a projection is."""

import re
from collections.abc import Sequence
from typing import Any

from ...core.errors import MillstreamError
from ...core.events import Event, Record

Batch = Sequence[tuple[Record, Event]]
"""Events of one partition in their order, each with its envelope: when, where, of which job."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
TAKEN = frozenset({"tables"})


class ProjectionUnfit(MillstreamError):
    """A projection that cannot be run as it is."""


class Projection:
    """Tables made of events. Subclass it, set the three attributes, and write `apply`.

    name     [a-z][a-z0-9_]{0,39}; tables of several projections share a schema, so let theirs
             begin with it
    version  an integer from 1: raise it whenever the same events would give other rows
    tables   the SQL that makes its tables (without schemas in their names); with a primary key
             each, so that a rebuild can compare them row by row

    Events that this release cannot read are passed over. A batch is of any size, and the same
    events may come in other batches after a rebuild: the rows must not depend on how they are cut.
    """

    name: str
    version: int
    tables: str

    async def apply(self, batch: Batch, connection: Any) -> None:
        """Change the tables by a batch, over an asyncpg connection that is in a transaction.

        The checkpoint moves in that same transaction, so each event counts exactly once; whatever
        else is done here (a mail, a call) may be done several times, and does not belong here.
        """
        raise NotImplementedError


def checked(found: Sequence[Projection]) -> dict[str, Projection]:
    """The projections by name. Raises ProjectionUnfit."""
    named: dict[str, Projection] = {}
    for one in found:
        kind = type(one).__name__
        name, version = getattr(one, "name", None), getattr(one, "version", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in TAKEN:
            raise ProjectionUnfit(
                f"{kind}.name: expected a name such as 'per_tenant' ({_NAME.pattern}, not"
                f" {', '.join(TAKEN)}), got: {name!r}"
            )
        if type(version) is not int or version < 1:
            raise ProjectionUnfit(f"{kind}.version: expected an integer from 1, got: {version!r}")
        if not isinstance(getattr(one, "tables", None), str):
            raise ProjectionUnfit(f"{kind}.tables: expected the SQL that makes its tables")
        if name in named:
            raise ProjectionUnfit(f"{kind}.name: expected names that differ, got {name!r} twice")
        named[name] = one
    return named


def projections_in(module: Any) -> list[Projection]:
    """One of each subclass of Projection that a module defines. Raises ProjectionUnfit."""
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Projection)
        and kind is not Projection
        and kind.__module__ == module.__name__
    ]
    if not kinds:
        where = module.__file__ or module.__name__
        raise ProjectionUnfit(f"{where}: expected a subclass of Projection in it, got none")
    return [kind() for kind in kinds]
