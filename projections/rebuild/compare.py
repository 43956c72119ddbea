"""Compares the tables of a shadow with the live ones, row by row.

Both sides are told to the database as sums of hashes over buckets of keys; only rows of buckets
that differ are read. Columns that tell when something was written, and counters at 0, do not count.
"""

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..connection import translated
from .shadow import Shadow

T = TypeVar("T")

BUCKETS = 4096
SHOWN = 20
"""Most differences told of each table."""

IGNORED = frozenset({"parked_at"})
ZEROS = {"job_counts": "count"}


class Difference(msgspec.Struct, frozen=True):
    """A row that is not the same: its key, and columns that differ as [live, rebuilt].

    `missing`: which side has no such row; '' if both have one.
    """

    table: str
    key: dict[str, Any]
    missing: str = ""
    columns: dict[str, tuple[Any, Any]] = {}


class Comparison(msgspec.Struct, frozen=True):
    """`rows` were compared in the live tables; `different`: how many differ, of which the first
    of each table are in `differences`."""

    rows: int
    different: int
    differences: list[Difference]


async def compare(
    live: Any, rebuilt: Any, shadow: Shadow, tables: Sequence[str], ignored: Collection[str] = ()
) -> Comparison:
    """Compare `tables` as two connections see them, each in its own snapshot or at rest."""
    rows, different, found = 0, 0, list[Difference]()
    for table in tables:
        with translated():
            shape = await _shape(rebuilt, f"{shadow.name}.{table}", {*IGNORED, *ignored})
            one = _Side(live, f"{shadow.live}.{table}", shape, ZEROS.get(table))
            two = _Side(rebuilt, f"{shadow.name}.{table}", shape, ZEROS.get(table))
            sums, others = await _both(one.sums(), two.sums())
            buckets = [
                key for key in sums.keys() | others.keys() if sums.get(key) != others.get(key)
            ]
            rows += sum(count for count, _ in sums.values())
            if not buckets:
                continue
            these, those = await _both(one.rows(buckets), two.rows(buckets))
        differences = list(_differences(table, shape, these, those))
        different += len(differences)
        found += differences[:SHOWN]
    return Comparison(rows, different, found)


async def _both(one: Coroutine[Any, Any, T], two: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """Ask both sides at once; returns, or raises, when neither is being asked any more."""
    found = await asyncio.gather(one, two, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return found  # type: ignore[return-value]


class _Shape(msgspec.Struct):
    """The columns of a table that count, quoted, and those that make its key."""

    columns: list[str]
    key: list[str]


async def _shape(connection: Any, table: str, ignored: Collection[str]) -> _Shape:
    found = await connection.fetch(
        "SELECT quote_ident(a.attname) AS name, a.attname AS plain,"
        " a.attnum = ANY (coalesce(i.indkey::int2[], '{}')) AS key FROM pg_attribute a"
        " LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary"
        " WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY a.attnum",
        table,
    )
    columns = [row["name"] for row in found if row["plain"] not in ignored]
    return _Shape(columns, [row["name"] for row in found if row["key"]] or columns)


class _Side(msgspec.Struct):
    connection: Any
    table: str
    shape: _Shape
    zero: str | None

    def _of(self, what: str, more: str = "") -> str:
        key = ", ".join(self.shape.key)
        bucket = f"hashtextextended(ROW({key})::text, 0) & {BUCKETS - 1}"
        where = f"WHERE {self.zero} <> 0" if self.zero else "WHERE true"
        # What is put in are names out of the catalog, quoted there.
        source = f"{self.table} {where} {more}"
        return f"SELECT {bucket} AS part_of_key, {what} FROM {source}"  # noqa: S608

    async def sums(self) -> dict[int, tuple[int, int]]:
        """Bucket → how many rows, and the sum of their hashes."""
        row = f"hashtextextended(ROW({', '.join(self.shape.columns)})::text, 1)"
        sql = self._of(f"count(*), sum({row}::numeric)::text", "GROUP BY 1")
        return {row[0]: (row[1], row[2]) for row in await self.connection.fetch(sql)}

    async def rows(self, buckets: list[int]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
        """Key → row as text, of the rows in some buckets."""
        columns = ", ".join(f"{name}::text AS {name}" for name in self.shape.columns)
        part = f"({self._of(columns)}) AS part"
        sql = f"SELECT * FROM {part} WHERE part_of_key = ANY ($1::bigint[])"  # noqa: S608
        found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        names = [name.strip('"') for name in self.shape.key]
        for row in await self.connection.fetch(sql, buckets):
            found[tuple(row[name] for name in names)] = row
        return found


def _differences(
    table: str,
    shape: _Shape,
    live: Mapping[tuple[Any, ...], Mapping[str, Any]],
    rebuilt: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> Iterator[Difference]:
    names = [name.strip('"') for name in shape.columns]
    for key in sorted(live.keys() | rebuilt.keys(), key=str):
        told = dict(zip((name.strip('"') for name in shape.key), key, strict=True))
        one, two = live.get(key), rebuilt.get(key)
        if one is None or two is None:
            yield Difference(table, told, "live" if one is None else "rebuilt")
            continue
        columns = {name: (one[name], two[name]) for name in names if one[name] != two[name]}
        if columns:
            yield Difference(table, told, "", columns)
