"""`millstream events export`: the log as files, read from the servers and not through the API."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.config import Settings
from . import options
from .bars import events_bar
from .client import REFUSED, fail
from .instants import between
from .output import print_line
from .sources import log_sources

if TYPE_CHECKING:
    from ..core.export import Format, Manifest, Span


@click.command("export")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Parquet needs the extra `data`.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="An empty folder, or one with an export that was broken off: it goes on.",
)
@click.option("--queue", "queues", multiple=True, help="Only these queues; default: all.")
@click.option("--from", "begin", metavar="TIME", help="Only events since then.")
@click.option("--to", "end", metavar="TIME", help="Only events before then.")
@click.option(
    "--part",
    type=click.IntRange(1, 10_000_000),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Most events in one file.",
)
@options.data_option
def export(
    format_: Format,
    out: Path,
    queues: tuple[str, ...],
    begin: str | None,
    end: str | None,
    part: int,
    data: Path | None,
) -> None:
    """Export the event log: the archive, and what is not archived yet.

    Writes a folder of files and a manifest.json with ranges, counts, hashes and gaps. What was
    broken off goes on after its last whole file, if the same is asked for again.

    \b
    millstream events export --out audit-2027-01 --from 2027-01-01T00:00:00Z
    """
    from ..core.export import ExportDamaged, ExportUnfit, Span

    span = Span(sorted(set(queues)), *between(begin, end))
    with options.connected(options.load(), data) as settings:
        try:
            manifest = asyncio.run(_export(settings, format_, out, span, part))
        except (ExportUnfit, ExportDamaged) as error:
            fail(str(error), REFUSED)
    _report(out, manifest)


async def _export(
    settings: Settings, format_: Format, out: Path, span: Span, part: int
) -> Manifest:
    from ..core.export import ExportUnfit
    from ..projections.exporting import Exporter

    async with log_sources(settings) as (pool, reader, directory):
        known = await directory.partitions()
        for queue in span.queues:
            if queue not in known:
                names = ", ".join(known) or "none"
                raise ExportUnfit(f"--queue: expected a used queue ({names}), got {queue!r}")
        with events_bar() as (begin, advance):
            exporter = Exporter(pool, reader, out, advance, part)
            manifest = await exporter.open(format_, settings.namespace, span, known)
            done = sum(file.count for file in manifest.files)
            begin(sum(queue.until_seq for queue in manifest.queues), done)
            return manifest if manifest.complete else await exporter.run(manifest)


def _report(out: Path, manifest: Manifest) -> None:
    """What was exported, as one JSON line."""
    gaps = [gap for queue in manifest.queues for gap in queue.gaps]
    missing = sum(gap.missing for gap in gaps if not gap.dropped)
    print_line(
        msgspec.json.encode(
            {
                "out": str(out),
                "format": manifest.format,
                "queues": len(manifest.queues),
                "files": len(manifest.files),
                "events": sum(file.count for file in manifest.files),
                "bytes": sum(file.bytes for file in manifest.files),
                "missing": missing,
                "dropped": sum(gap.missing for gap in gaps if gap.dropped),
                "complete": manifest.complete,
            }
        )
    )
    if missing:
        print(f"millstream: {missing} events are lost: see gaps in the manifest",
              file=sys.stderr)  # fmt: skip
