"""The program in which the SQL of strangers runs: `python -P sandbox.py SETTINGS`.

One request per line on stdin, one answer per line on stdout, both JSON. A process of its own,
because DuckDB's bounds alone do not hold: some functions cannot be interrupted (levenshtein of two
long texts ran for minutes), some allocate past `memory_limit` (a lambda over a long list), and a
crash must not be the worker's. It imports nothing of Millstream, inherits no secrets, and its
working folder is the data folder, so that relative paths in queries mean files there.
"""

import os
import resource
import sys
import threading
from contextlib import suppress
from typing import Any

import duckdb
import msgspec

_LONGEST_MESSAGE = 4000
_FORMER_MEMORY = 256 * 2**20  # what Python and DuckDB take before any query


class Settings(msgspec.Struct, frozen=True):
    """`memory` and `bytes` in bytes, `seconds` per query, `rows` at most per answer."""

    folder: str
    memory: int
    seconds: float
    rows: int
    bytes: int


class Request(msgspec.Struct):
    """One query; `params` by position or by name."""

    sql: str
    params: list[Any] | dict[str, Any]
    limit: int


def main(settings: Settings) -> None:
    """Answer requests until stdin ends."""
    answers = _claim_stdout()
    _bind_process(settings)
    database = open_database(settings)
    requests = _follow_stdin()
    answers.write(b"ready\n")
    while True:
        request = msgspec.json.decode(requests(), type=Request)
        answers.write(answer(database, request, settings) + b"\n")


def open_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """An empty database in memory that can read the folder, and can nothing else."""
    database = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "memory_limit": f"{settings.memory}B",
            "threads": "1",
        },
    )
    later: dict[str, object] = {
        "allowed_directories": [settings.folder.rstrip("/") + "/"],
        "temp_directory": "",
        "home_directory": settings.folder,
        "secret_directory": settings.folder,
        "extension_directories": [settings.folder],
        "allow_extension_repositories": "forbidden",
        "enable_external_file_cache": False,
        "python_enable_replacements": False,
        "TimeZone": "UTC",
        "max_execution_time": int(settings.seconds * 1000),
        "enable_external_access": False,
        "lock_configuration": True,  # the last one: nothing can be set after it
    }
    for name, value in later.items():
        database.execute(f"SET {name} = {_literal(value)}")
    return database


def answer(database: duckdb.DuckDBPyConnection, request: Request, settings: Settings) -> bytes:
    """What the query gives, as JSON: a table, or {error, kind}."""
    try:
        sql = read_only(database, request.sql)
        with database.cursor() as cursor:
            return _table(cursor.execute(sql, request.params), request.limit, settings)
    except duckdb.InterruptException:
        return _refusal("time", f"the query took longer than the {settings.seconds:g} s allowed")
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        megabytes = settings.memory // 2**20
        return _refusal("memory", f"the query needs more than the {megabytes} MiB allowed: {error}")
    except (duckdb.Error, ValueError, TypeError) as error:
        return _refusal("sql", str(error) or type(error).__name__)


def read_only(database: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` in a form in which it can only read. Raises ValueError.

    A WITH clause may hold COPY … TO or INSERT and still count as a SELECT, yet only at the top
    level: as a subquery DuckDB refuses it. That the text stands as one statement on its own is
    checked first, so that it cannot break out of the parentheses.
    """
    statements = database.extract_statements(sql)
    if len(statements) != 1:
        raise ValueError(f"expected one SQL statement, got {len(statements)}")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise ValueError(f"expected a statement that only reads (SELECT), got: {kind.name}")
    alone = statements[0].query.rstrip().rstrip(";")
    return f"SELECT * FROM (\n{alone}\n)"  # noqa: S608 (running what is given is the purpose)


def _table(cursor: duckdb.DuckDBPyConnection, limit: int, settings: Settings) -> bytes:
    """Rows up to the limit and up to the bound of bytes; `truncated` tells that there were more."""
    described = cursor.description or []
    most = min(limit, settings.rows)
    rows: list[msgspec.Raw] = []
    room = settings.bytes
    truncated = False
    while (row := cursor.fetchone()) is not None:
        encoded = _encode(row)
        room -= len(encoded) + 1
        if len(rows) == most or room < 0:
            truncated = True
            break
        rows.append(msgspec.Raw(encoded))
    if truncated and not rows and most > 0:
        raise ValueError(f"expected rows of at most {settings.bytes} bytes, got a larger one")
    return msgspec.json.encode(
        {
            "columns": [column[0] for column in described],
            "types": [str(column[1]) for column in described],
            "rows": rows,
            "row_count": len(rows),
            "truncated": truncated,
        }
    )


def _encode(row: Any) -> bytes:
    try:
        return msgspec.json.encode(row)
    except (TypeError, ValueError, OverflowError):
        return msgspec.json.encode(_plain(row))


def _plain(value: Any) -> Any:
    """A value JSON can hold: what it cannot (keys that are lists, unknown types) becomes text."""
    match value:
        case bool() | None | str() | float() | int():
            return value
        case dict():
            return {
                key if isinstance(key, str) else str(key): _plain(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            try:
                return msgspec.to_builtins(value)
            except (TypeError, ValueError, OverflowError):
                return str(value)


def _refusal(kind: str, message: str) -> bytes:
    return msgspec.json.encode({"kind": kind, "error": message[:_LONGEST_MESSAGE]})


def _literal(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _claim_stdout() -> Any:
    """The answers' own descriptor; what libraries print to stdout goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return answers


def _bind_process(settings: Settings) -> None:
    """Bounds kept by the kernel. No byte can be written to any file, whatever opens it."""
    os.chdir(settings.folder)
    bounds = {
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: 2 * settings.memory + _FORMER_MEMORY,
    }
    for what, bound in bounds.items():
        with suppress(ValueError, OSError):  # the system's own bound may be lower, or it knows none
            resource.setrlimit(what, (bound, bound))


def _follow_stdin() -> Any:
    """Read ahead in a thread, so that the end of stdin ends the process even during a query."""
    waiting: list[bytes] = []
    arrived = threading.Semaphore(0)

    def read() -> None:
        for line in sys.stdin.buffer:
            waiting.append(line)
            arrived.release()
        os._exit(0)

    def take() -> bytes:
        arrived.acquire()
        return waiting.pop(0)

    threading.Thread(target=read, daemon=True).start()
    return take


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Settings))
