"""Parquet by DuckDB (extra `data`), which writes row groups and never holds a whole part.

DuckDB takes rows fast only from a file. So a part is first a plain table of base64 beside it, in
which nothing needs quoting.
"""

from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..events import Record
from .manifest import ExportUnfit

ROW_GROUP = 20_000
MEMORY = "512MB"
_LONGEST = 64 << 20

_COPY = """
COPY (
    SELECT decode(from_base64(partition)) AS partition, seq, epoch,
           decode(from_base64(type)) AS type, decode(from_base64(job)) AS job, version, time, entry,
           CASE WHEN text THEN decode(from_base64(body)) END AS body,
           CASE WHEN NOT text THEN body END AS body_base64
      FROM read_csv({source}, header = false, delim = ',', quote = '', escape = '',
                    max_line_size = {longest}, buffer_size = {buffer}, parallel = false,
                    null_padding = false, auto_detect = false, nullstr = 'NULL',
                    columns = {{'partition': 'VARCHAR', 'seq': 'BIGINT', 'epoch': 'INTEGER',
                               'type': 'VARCHAR', 'job': 'VARCHAR', 'version': 'INTEGER',
                               'time': 'BIGINT', 'entry': 'VARCHAR', 'text': 'BOOLEAN',
                               'body': 'VARCHAR'}})
) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})
"""


@contextmanager
def writing(path: Path) -> Generator[Callable[[Record], int]]:
    """Takes events; the Parquet file is there at the end. Raises ExportUnfit without DuckDB."""
    connect = _duckdb()
    plain = path.with_name(f"{path.name}.table")
    with plain.open("wb", buffering=1 << 20) as file:
        yield lambda record: file.write(_plain(record))
    with connect(":memory:") as duck:
        duck.execute(f"SET memory_limit = '{MEMORY}'")
        duck.execute("SET threads = 1")
        duck.execute(
            _COPY.format(
                source=_quoted(plain), target=_quoted(path), group=ROW_GROUP, longest=_LONGEST,
                buffer=2 * _LONGEST,
            )
        )  # fmt: skip
    plain.unlink()


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    """The rows of a file, in order. Raises ExportUnfit, or ValueError for what is no such file."""
    connect = _duckdb()
    import duckdb

    with connect(":memory:") as duck:
        duck.execute(f"SET memory_limit = '{MEMORY}'")
        try:
            source = f"SELECT {', '.join(columns)} FROM read_parquet({_quoted(path)})"  # noqa: S608
            found = duck.execute(source)
            while page := found.fetchmany(1000):
                yield from page
        except duckdb.Error as error:
            raise ValueError(str(error)) from error


def _plain(record: Record) -> bytes:
    try:
        record.body.decode()
        text = b"true"
    except UnicodeDecodeError:
        text = b"false"
    return b"%s,%d,%d,%s,%s,%d,%d,%s,%s,%s\n" % (
        b64encode(record.partition.encode()), record.seq, record.epoch,
        b64encode(record.type.encode()), b64encode(record.job.encode()), record.version,
        record.time, record.entry.encode(), text, b64encode(record.body),
    )  # fmt: skip


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise ExportUnfit("parquet: expected DuckDB: pip install 'millstream[data]'") from None
    return duckdb.connect
