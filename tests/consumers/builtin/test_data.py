"""data.query against a real DuckDB in its real sandbox process: what it gives, what it refuses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from millstream.consumers import Fail
from millstream.consumers.builtin.data import Query, Table, data_folder, run
from millstream.consumers.builtin.sandboxes import Limits, Sandboxes
from millstream.core.config import Settings
from millstream.core.errors import ConfigError

LIMITS = Limits(memory=128 * 2**20, seconds=60.0, rows=100, bytes=64 * 1024)
BRIEF = msgspec.structs.replace(LIMITS, seconds=2.0)
"""For queries that never end; no machine is too slow for the others."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with two files, a secret beside it, and links that point out of it."""
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "towns.csv").write_text("name,height\nAire,12\nBrugg,352\nCham,418\n")
    (data / "sub" / "more.json").write_text('[{"a": 1}, {"a": 2}]')
    (tmp_path / "secret.csv").write_text("word\nsesame\n")
    (data / "link.csv").symlink_to(tmp_path / "secret.csv")
    (data / "elsewhere").symlink_to(tmp_path)
    return data


@pytest.fixture
async def sandboxes(folder: Path) -> AsyncIterator[Sandboxes]:
    pool = Sandboxes(folder, LIMITS, most=2)
    yield pool
    await pool.close()


@pytest.fixture
async def brief(folder: Path) -> AsyncIterator[Sandboxes]:
    pool = Sandboxes(folder, BRIEF, most=2)
    yield pool
    await pool.close()


def rows(table: Table) -> list[list[object]]:
    return msgspec.json.decode(table.rows)


async def test_a_query_reads_a_file_by_its_relative_path(sandboxes: Sandboxes) -> None:
    table = await run(
        sandboxes, Query("SELECT name, height FROM 'towns.csv' ORDER BY 2 DESC -- highest first")
    )
    assert table.columns == ["name", "height"]
    assert table.types == ["VARCHAR", "BIGINT"]
    assert rows(table) == [["Cham", 418], ["Brugg", 352], ["Aire", 12]]
    assert table.row_count == 3
    assert not table.truncated
    assert table.elapsed > 0


async def test_subfolders_absolute_paths_and_globs_work(sandboxes: Sandboxes, folder: Path) -> None:
    assert rows(await run(sandboxes, Query("SELECT sum(a) FROM 'sub/more.json'"))) == [[3]]
    absolute = Query(f"SELECT count(*) FROM '{folder / 'towns.csv'}'")
    assert rows(await run(sandboxes, absolute)) == [[3]]
    assert rows(await run(sandboxes, Query("SELECT count(*) FROM read_json('sub/*.json')"))) == [
        [2]
    ]


async def test_params_by_position_and_by_name(sandboxes: Sandboxes) -> None:
    sql = "SELECT name FROM 'towns.csv' WHERE height > ?"
    assert rows(await run(sandboxes, Query(sql, [400]))) == [["Cham"]]
    sql = "SELECT name FROM 'towns.csv' WHERE name = $town"
    assert rows(await run(sandboxes, Query(sql, {"town": "x' OR 1=1 --"}))) == []


async def test_values_json_lacks_become_text(sandboxes: Sandboxes) -> None:
    sql = """SELECT DATE '2024-02-29',
        170141183460469231731687303715884105727::HUGEINT, 1.50::DECIMAL(9,2),
        TIMESTAMPTZ '2024-01-01 12:00:00+02', 'nan'::DOUBLE, MAP {1: 'a'}, [1, 2], {'k': NULL},
        '\\x00'::BLOB, UUID '00000000-0000-0000-0000-000000000001', INTERVAL 1 DAY"""
    (row,) = rows(await run(sandboxes, Query(sql)))
    assert row == [
        "2024-02-29", 170141183460469231731687303715884105727, "1.50", "2024-01-01T10:00:00Z",
        None, {"1": "a"}, [1, 2], {"k": None}, "AA==", "00000000-0000-0000-0000-000000000001",
        "P1D",
    ]  # fmt: skip


async def test_the_result_is_bounded_in_rows_and_bytes(sandboxes: Sandboxes) -> None:
    table = await run(sandboxes, Query("FROM range(1000000)", limit=7))
    assert (table.row_count, table.truncated) == (7, True)
    table = await run(sandboxes, Query("FROM range(7)", limit=7))
    assert (table.row_count, table.truncated) == (7, False)
    table = await run(sandboxes, Query("FROM range(1000000)", limit=10_000))
    assert (table.row_count, table.truncated) == (LIMITS.rows, True)
    table = await run(sandboxes, Query("SELECT repeat('x', 30000) FROM range(10)"))
    assert (table.row_count, table.truncated) == (2, True)
    with pytest.raises(Fail, match="expected rows of at most 65536 bytes"):
        await run(sandboxes, Query("SELECT repeat('x', 100000)"))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEKT 1", "syntax error"),
        ("SELECT nothing FROM 'towns.csv'", "nothing"),
        ("SELECT * FROM 'absent.csv'", "absent.csv"),
        ("SELECT ?", "parameter"),
        ("", "one SQL statement, got 0"),
        ("SELECT 1; SELECT 2", "one SQL statement, got 2"),
        ("SELECT 1) UNION (SELECT 2", "syntax error"),
        ("SELECT 1::INT, 'x'::INT", "Could not convert"),
    ],
)
async def test_bad_sql_fails_for_good_with_the_database_s_words(
    sandboxes: Sandboxes, sql: str, said: str
) -> None:
    with pytest.raises(Fail, match=f"(?i){said}"):
        await run(sandboxes, Query(sql))


ESCAPES = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('../secret.csv')",
    "SELECT * FROM read_csv('sub/../../secret.csv')",
    "SELECT * FROM read_text('{folder}/../secret.csv')",
    "SELECT * FROM 'link.csv'",
    "SELECT * FROM '{folder}/link.csv'",
    "SELECT * FROM 'elsewhere/secret.csv'",
    "SELECT * FROM glob('elsewhere/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('../*')",
    "SELECT * FROM read_text('file://{folder}/../secret.csv')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_csv('/dev/stdin')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM sqlite_scan('{folder}/towns.csv', 'x')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''made''')",
    "SELECT * FROM query('WITH w AS (COPY (SELECT 1) TO ''made'') FROM w')",
    "WITH w AS (COPY (SELECT 1) TO 'made') SELECT * FROM w",
    "WITH w AS (COPY (SELECT 1) TO 'towns.csv') SELECT * FROM w",
    "SELECT 1 FROM (WITH w AS (COPY (SELECT 1) TO 'made') SELECT * FROM w)",
    "COPY (SELECT 1) TO 'made'",
    "COPY (SELECT 1) TO 'towns.csv'",
    "EXPORT DATABASE 'made'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'made'",
    "ATTACH 'made'",
    "ATTACH '{folder}/../made' AS other",
    "CREATE TABLE t AS SELECT 1",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/towns.csv'",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "PRAGMA threads = 8",
    "CALL enable_logging(storage := 'file', storage_path := 'made')",
    "SELECT getenv('PATH')",
    "SELECT * FROM request",
    "CREATE SECRET (TYPE s3)",
    "PREPARE p AS SELECT 1",
    "BEGIN",
]


async def test_there_is_no_way_out(sandboxes: Sandboxes, folder: Path) -> None:
    before = contents(folder.parent)
    escaped: list[str] = []
    for sql in ESCAPES:
        try:
            table = await run(sandboxes, Query(sql.format(folder=folder)))
            escaped.append(f"{sql} gave {bytes(table.rows)!r}")
        except Fail as refused:
            if "sesame" in str(refused) or "root:" in str(refused):
                escaped.append(f"{sql} told {refused}")
        if contents(folder.parent) != before:
            pytest.fail(f"{sql} wrote to the disk")
    assert escaped == []
    assert rows(await run(sandboxes, Query("SELECT count(*) FROM 'towns.csv'"))) == [[3]]


def contents(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "sql",
    [
        "FROM range(100000000) ORDER BY random()",
        "SELECT count(*) FROM range(100000000) a, range(100000000) b",
        "SELECT repeat('x', 3000000000)",
        "SELECT list_reduce(range(1, 100000000), lambda x, y: x + y)",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    ],
)
async def test_memory_and_time_are_bounded(brief: Sandboxes, sql: str) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(Fail, match=r"allowed|Failed to allocate"):
            await run(brief, Query(sql))
    brief.limits = LIMITS
    assert rows(await run(brief, Query("SELECT 1"))) == [[1]]


NEVER_ENDS = "SELECT levenshtein(repeat('a', 500000), repeat('b', 500000))"


async def test_a_function_that_cannot_be_interrupted_is_killed(brief: Sandboxes) -> None:
    with pytest.raises(Fail, match="took longer than the 2 s allowed"):
        await run(brief, Query(NEVER_ENDS))
    assert children() == []


async def test_a_cancelled_query_ends_its_process(sandboxes: Sandboxes) -> None:
    query = asyncio.create_task(run(sandboxes, Query(NEVER_ENDS)))
    async with asyncio.timeout(60):
        while not any(child.cpu_times().user > 0.6 for child in children()):
            await asyncio.sleep(0.02)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert children() == []


async def test_a_warm_process_is_used_again_and_no_more_than_allowed(sandboxes: Sandboxes) -> None:
    await asyncio.gather(*(run(sandboxes, Query("SELECT 1")) for _ in range(8)))
    first = {child.pid for child in children()}
    assert 1 <= len(first) <= 2
    await run(sandboxes, Query("SELECT 2"))
    assert {child.pid for child in children()} == first


async def test_the_process_inherits_no_secrets(
    sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_POSTGRES_DSN", "postgresql://u:open-sesame@h/d")
    await run(sandboxes, Query("SELECT 1"))
    (child,) = children()
    assert not any(name.startswith("MILLSTREAM") for name in child.environ())


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process(os.getpid()).children() if _is_sandbox(child)]


def _is_sandbox(child: psutil.Process) -> bool:
    try:
        return any(part.endswith("sandbox.py") for part in child.cmdline())
    except psutil.NoSuchProcess:  # also one that has ended and was not waited for yet
        return False


def test_the_folder_must_be_configured_and_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_DATA_DIR: expected the folder"):
        data_folder(Settings())
    with pytest.raises(ConfigError, match="absent"):
        data_folder(Settings(data_dir=str(tmp_path / "absent")))
    assert data_folder(Settings(data_dir=str(tmp_path))) == tmp_path
