"""The SQL statements of sql/queries, by name."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of sql/queries/`name`.sql."""
    return (files("millstream.sql") / "queries" / f"{name}.sql").read_text()
