"""Runs the benchmarks one after another, and prints a table and JSON.

python -m benchmarks                 all, medians of three
python -m benchmarks work --runs 1   those whose name begins with `work`
python -m benchmarks --json out.json
"""

import argparse
import asyncio
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from . import (
    audits,
    conservation,
    delayed,
    flows,
    latency,
    limits,
    memory,
    payloads,
    processes,
    project,
    queues,
    raw,
    rebuild,
    schedules,
    steps,
    submit,
    unused,
    work,
)
from .figures import Figure, medians

BENCHMARKS: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "raw": raw.streams,
    "submit.direct": submit.direct,
    "submit.http": submit.over_http,
    "payloads": payloads.checking,
    "work.one": work.one_worker,
    "work.two": work.two_workers,
    "work.20k": work.backlog_20k,
    "work.200k": work.backlog_200k,
    "work.1m": work.backlog_1m,
    "processes": processes.noop,
    "limits": limits.each_limit,
    "steps": steps.durable,
    "flows": flows.batches,
    "project": project.projection,
    "pipeline": project.pipeline,
    "audits": audits.sealing,
    "exports": audits.exports,
    "conservation": conservation.cost,
    "unused": unused.each_feature,
    "rebuild": rebuild.rebuilding,
    "latency.direct": latency.direct,
    "latency.http": latency.over_http,
    "latency.delays": latency.delays,
    "delayed": delayed.million,
    "queues": queues.thousand,
    "schedules": schedules.ten_thousand,
    "memory": memory.per_job,
}

ONCE = {"payloads", "unused"}
"""Those that take medians of rounds themselves, and long for it."""


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"beginnings of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--runs", type=int, default=3, help="how often; medians are shown")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    chosen = {
        name: run
        for name, run in BENCHMARKS.items()
        if not given.names or any(name.startswith(begin) for begin in given.names)
    }
    if not chosen:
        parser.error(f"expected beginnings of {', '.join(BENCHMARKS)}, got: {given.names}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measure(chosen, given.runs))
    document = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "runs": given.runs,
        "figures": figures,
    }
    encoded = msgspec.json.format(msgspec.json.encode(document))
    Console().print(_table(figures))
    if given.json:
        given.json.write_bytes(encoded)
    sys.stdout.write(encoded.decode() + "\n")


async def _measure(
    chosen: dict[str, Callable[[], Awaitable[list[Figure]]]], runs: int
) -> list[Figure]:
    found: list[Figure] = []
    for name, run in chosen.items():
        results: list[list[Figure]] = []
        often = 1 if name in ONCE else runs
        for number in range(often):
            print(f"{name} ({number + 1}/{often}) …", file=sys.stderr)
            results.append(await run())
        found += medians(results)
    return found


def _table(figures: list[Figure]) -> Table:
    table = Table("what", "measured", "unit", "floor", "")
    for column in (1, 3):
        table.columns[column].justify = "right"
    marks = {True: "[green]holds[/]", False: "[red]short[/]", None: ""}
    for figure in figures:
        floor = (
            "" if figure.floor is None else f"{'≥' if figure.at_least else '≤'} {figure.floor:,g}"
        )
        table.add_row(
            figure.name,
            f"{figure.value:,.4g}" if figure.value < 100 else f"{figure.value:,.0f}",
            figure.unit,
            floor,
            marks[figure.holds],
        )
    return table


if __name__ == "__main__":
    main()
