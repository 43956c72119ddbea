"""`data.query`: SQL over the files of one folder (DuckDB; extra `data`).

The folder is `MILLSTREAM_DATA_DIR`; queries name its files by their relative paths:

    {"sql": "SELECT weather, count(*) AS days FROM 'seattle-weather.csv' GROUP BY ALL"}
"""

import importlib.util
import time
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...core import config
from ...core.errors import ConfigError
from ..context import Context
from ..handlers import job
from ..verdicts import Fail
from .sandboxes import Limits, SandboxError, Sandboxes

if importlib.util.find_spec("duckdb") is None:
    raise ImportError("data.query needs DuckDB: pip install 'millstream[data]'")


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """`params` fill `?` or `$1` (a list) or `$name` (an object); `limit` is in rows."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    params: list[Any] | dict[str, Any] = []
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000


class Table(msgspec.Struct, kw_only=True):
    """What a query gave. Values JSON lacks are text (decimals, times, intervals).

    `truncated`: there were more rows than the limit or than 1 MiB holds. `elapsed` is in seconds.
    """

    columns: list[str]
    types: list[str]
    rows: msgspec.Raw
    row_count: int
    truncated: bool
    elapsed: float = 0.0


# The time in which a query waits for a free sandbox counts, hence ten times a query's own bound.
@job("data.query", max_attempts=3, timeout=300)
async def data_query(ctx: Context, query: Query) -> Table:
    """Run one SELECT over the data folder: nothing can be written, nothing else be read."""
    return await run(_sandboxes(), query)


async def run(sandboxes: Sandboxes, query: Query) -> Table:
    """Run a query in one of `sandboxes`. Raises Fail for what no other attempt would mend."""
    began = time.perf_counter()
    try:
        answer = await sandboxes.ask(msgspec.to_builtins(query))
    except SandboxError as error:
        raise Fail(str(error)) from error
    table = msgspec.json.decode(answer, type=Table)
    table.elapsed = round(time.perf_counter() - began, 6)
    return table


@cache
def _sandboxes() -> Sandboxes:
    return Sandboxes(data_folder(config.load()), Limits())


def data_folder(settings: config.Settings) -> Path:
    """The configured folder. Raises ConfigError."""
    given = settings.data_dir
    if given is None or not Path(given).is_dir():
        raise ConfigError("MILLSTREAM_DATA_DIR", "the folder whose files data.query reads", given)
    return Path(given)
