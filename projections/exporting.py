"""Writes exports of the event log: whole parts, one after another, so that what was killed goes on
where its last part ended. Errors: Unavailable, ExportUnfit, ExportDamaged.
"""

import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ..core.events import Record
from ..core.export import (
    MANIFEST,
    ExportUnfit,
    Format,
    Gap,
    Manifest,
    Part,
    QueueExport,
    Span,
    load,
    store,
)
from ..core.export.manifest import VERSION
from ..core.log import START, LogReader
from .connection import translated
from .history import last_seq
from .queries import archived_events
from .statements import statement

PAGE = 1000
PART_EVENTS = 100_000
PART_BYTES = 256 << 20

_OURS = re.compile(r".+\.\d{6,}\.(jsonl|csv|parquet)(\.part(\.table)?)?")
"""Names of parts, finished or not."""


class Exporter:
    """One export into one folder. `progress` is told how many events were looked at, page by page;
    `part_events`: most events of a file."""

    def __init__(
        self,
        pool: Any,
        reader: LogReader,
        folder: Path,
        progress: Callable[[int], None] = lambda _: None,
        part_events: int = PART_EVENTS,
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._folder = folder
        self._progress = progress
        self._part_events = part_events
        self._part: Part | None = None
        self._gaps: list[Gap] = []

    async def open(
        self, format: Format, namespace: str, span: Span, partitions: list[str]
    ) -> Manifest:
        """The manifest of a new export, or of one that was broken off and goes on.

        Raises ExportUnfit where the folder holds anything else.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        found = load(self._folder)
        if found is not None:
            wanted = (format, namespace, span)
            if (found.format, found.namespace, found.span) != wanted:
                raise ExportUnfit(
                    f"{self._folder}: expected the export that is to go on, or an empty folder,"
                    f" got an export of other events or in another format"
                )
            return found
        if any(self._folder.iterdir()):
            raise ExportUnfit(f"{self._folder}: expected an empty folder, or one with a {MANIFEST}")
        queues = [
            QueueExport(name, await last_seq(self._pool, self._reader, name))
            for name in (span.queues or partitions)
        ]
        now = time.time_ns() // 1_000_000
        manifest = Manifest(VERSION, format, namespace, span, now, queues)
        store(self._folder, manifest)
        return manifest

    async def run(self, manifest: Manifest) -> Manifest:
        """Write all that is missing."""
        known = {file.name for file in manifest.files}
        for path in self._folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in known:
                path.unlink()  # what a kill left unfinished
        for queue in manifest.queues:
            if not queue.done:
                await self._queue(manifest, queue)
        manifest.complete = True
        store(self._folder, manifest)
        return manifest

    async def _queue(self, manifest: Manifest, queue: QueueExport) -> None:
        span, files = manifest.span, manifest.files_of(queue.queue)
        seq, entry = (files[-1].last_seq, files[-1].last_entry) if files else (0, START)
        if not files and span.begin is not None:
            seq = await self._seq_before(queue.queue, span.begin)
        told, self._gaps = seq, []
        async with aclosing(self._pages(queue.queue, seq, entry, queue.until_seq)) as pages:
            async for page in pages:
                for record in page:
                    if span.end is not None and record.time >= span.end:
                        queue.until_seq = told
                        break
                    await self._take(manifest, queue, record, told)
                    told = record.seq
                self._progress(len(page))
                if queue.until_seq <= told:
                    break
        if told < queue.until_seq:
            self._gaps += await self._gaps_between(queue.queue, told, queue.until_seq + 1)
        queue.done = True
        self._commit(manifest, queue)

    async def _take(
        self, manifest: Manifest, queue: QueueExport, record: Record, told: int
    ) -> None:
        if manifest.span.begin is not None and record.time < manifest.span.begin:
            return
        part = self._part
        full = part is not None and (part.count >= self._part_events or part.bytes >= PART_BYTES)
        if part is not None and (full or part.epoch != record.epoch):
            self._commit(manifest, queue)
        if record.seq > told + 1:
            self._gaps += await self._gaps_between(queue.queue, told, record.seq)
        if self._part is None:
            number = len(manifest.files_of(queue.queue)) + 1
            name = f"{queue.queue}.{number:06d}.{manifest.format}"
            self._part = Part(self._folder, name, manifest.format)
        self._part.add(record)

    def _commit(self, manifest: Manifest, queue: QueueExport) -> None:
        """Close the part, and say so in the manifest: from here on it is not written again."""
        if self._part is not None:
            manifest.files.append(self._part.finish())
            self._part = None
        queue.gaps += self._gaps
        self._gaps = []
        store(self._folder, manifest)

    async def _gaps_between(self, queue: str, after: int, before: int) -> list[Gap]:
        with translated():
            rows = await self._pool.fetch(statement("dropped_between"), queue, after, before)
        return gaps_of([(row["first_seq"], row["last_seq"]) for row in rows], after, before)

    async def _seq_before(self, queue: str, begin: int) -> int:
        """The seq of an event before the time `begin`, near to it if counts were noted there."""
        with translated():
            row = await self._pool.fetchrow(statement("snapshot_before"), queue, begin - 1)
        return 0 if row is None else row["seq"]

    async def _pages(
        self, queue: str, seq: int, entry: str, until: int
    ) -> AsyncGenerator[list[Record]]:
        """Events after `seq` up to `until`: from the archive, then from the stream. What is in
        neither is left out."""
        while seq < until and (page := await archived_events(self._pool, queue, seq, PAGE)):
            page = [record for record in page if record.seq <= until]
            if not page:
                return
            yield page
            seq, entry = page[-1].seq, page[-1].entry
        while seq < until and (found := await self._reader.range(queue, f"({entry}", count=PAGE)):
            entry = found[-1].entry
            page = [record for record in found if seq < record.seq <= until]
            if page and page[0].seq > seq + 1:  # cut off since the archive was read, or lost
                async for missed in self._missed(queue, seq, page[0].seq):
                    yield missed
            if page:
                yield page
                seq = page[-1].seq

    async def _missed(self, queue: str, seq: int, before: int) -> AsyncGenerator[list[Record]]:
        while page := await archived_events(self._pool, queue, seq, PAGE):
            page = [record for record in page if record.seq < before]
            if not page:
                return
            yield page
            seq = page[-1].seq


def gaps_of(ranges: Sequence[tuple[int, int]], after: int, before: int) -> list[Gap]:
    """What is missing between two seqs, as gaps that were dropped and gaps that were not.

    `ranges`: what was dropped, both ends included, in order of their beginnings.
    """
    gaps: list[Gap] = []
    told = after
    for first, last in ranges:
        last = min(last, before - 1)
        if last <= told or first >= before:
            continue
        if first > told + 1:
            gaps.append(Gap(told, first))
            told = first - 1
        if gaps and gaps[-1].dropped:
            gaps[-1].before_seq = last + 1
        else:
            gaps.append(Gap(told, last + 1, dropped=True))
        told = last
    if told < before - 1:
        gaps.append(Gap(told, before))
    return gaps
