"""`millstream rebuild`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.errors import MillstreamError, Unavailable
from . import options
from .client import REFUSED, fail

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..projections.own import Projection
    from ..projections.rebuild.course import Step, Tell
    from ..projections.rebuild.kept import Trusted

PROCESSES = max(1, (os.cpu_count() or 1) // 2)
"""The other half is for PostgreSQL."""


@click.command("rebuild")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=PROCESSES,
    help="How many processes fold the archive at once (default: half of the cores). A rebuild that"
    " goes on keeps its number.",
)
@click.option("--projection", help="Rebuild this projection of your own, found with --app.")
@click.option(
    "--app", "apps", multiple=True, metavar="MODULE_OR_FILE", help="Where that projection is."
)
@click.option("--accept", is_flag=True, help="Put the tables in place though they differ.")
@click.option("--abandon", is_flag=True, help="Drop what an unfinished rebuild has made.")
@click.option("--drop-old", is_flag=True, help="Drop the tables from before the last rebuild.")
@options.data_option
def command(
    processes: int,
    projection: str | None,
    apps: tuple[str, ...],
    accept: bool,
    abandon: bool,
    drop_old: bool,
    data: Path | None,
) -> None:
    """Build the tables anew from the archive, compare them, and put them in place.

    The old tables serve meanwhile, and are kept afterwards until --drop-old. A rebuild that was
    interrupted goes on where it was when it is started again. Prints its progress, as JSON lines
    where stdout is no terminal. Exit code 0: done. 1: the tables differ, and were not put in place.
    2: it cannot be done so. 4: a server does not answer.

    \b
    millstream rebuild
    millstream rebuild --drop-old
    """
    if sum((accept, abandon, drop_old)) > 1:
        fail("expected one of --accept, --abandon and --drop-old, got several", REFUSED)
    with options.connected(options.load(), data) as settings, _refusing():
        if abandon or drop_old:
            from ..projections.rebuild.upkeep import drop

            own = "" if projection is None else _own(projection, apps).name
            print(asyncio.run(drop(settings, old=drop_old, projection=own)))
        elif projection is not None:
            _rebuild_own(settings, _own(projection, apps), accept=accept)
        else:
            _rebuild(settings, processes, accept=accept)


def _rebuild(settings: Settings, processes: int, *, accept: bool) -> None:
    from ..projections.rebuild.course import Course

    with _telling() as tell, _naming_differences():
        done = asyncio.run(Course(settings, tell, processes=processes, accept=accept).run())
    if sys.stdout.isatty():  # elsewhere the last line tells it
        for one in done.trusted:
            print(words(one))


def words(trusted: Trusted) -> str:
    """What was taken over of one queue, in a sentence."""
    told: list[str] = []
    if trusted.before is not None:
        told.append(
            f"statistics of before {trusted.before} ({trusted.rows} rows by minute, and their part"
            " of the sums of all time) are those of the old tables, since their events are gone"
        )
    if trusted.left_out:
        told.append(f"{trusted.left_out} ended jobs without a row there were taken for dropped")
    return f"not made of events, {trusted.queue}: {'; '.join(told)}"


def _own(name: str, apps: tuple[str, ...]) -> Projection:
    from .project import load

    found = load(apps)
    if name not in found:
        known = ", ".join(found) or "none, for no --app was given"
        fail(f"--projection: expected one of those in --app ({known}), got {name!r}", REFUSED)
    return found[name]


def _rebuild_own(settings: Settings, projection: Projection, *, accept: bool) -> None:
    from ..projections.own.rebuild import OwnCourse

    with _telling() as tell, _naming_differences():
        asyncio.run(OwnCourse(settings.postgres_dsn, projection, tell, accept=accept).run())


@contextmanager
def _refusing() -> Generator[None]:
    """What is neither a difference nor a server that is away ends the command as refused."""
    from ..projections.rebuild.course import Differs

    try:
        yield
    except (Differs, Unavailable):
        raise
    except MillstreamError as error:
        fail(str(error), REFUSED)


@contextmanager
def _naming_differences() -> Generator[None]:
    from ..projections.rebuild.course import Differs

    try:
        yield
    except Differs as error:
        for difference in error.comparison.differences:
            print(msgspec.json.encode(difference).decode())
        raise


@contextmanager
def _telling() -> Generator[Tell]:
    """Progress bars on a terminal, a JSON line at most once a second elsewhere."""
    if not sys.stdout.isatty():
        yield _Lines().tell
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]}")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate,
        TimeElapsedColumn(), TimeRemainingColumn(),
    ) as progress:  # fmt: skip
        yield _Bars(progress).tell


class _Rate:
    """Events per second of one phase."""

    def __init__(self) -> None:
        self._phase = ""
        self._first = 0
        self._began = 0.0

    def of(self, step: Step) -> float:
        now = time.monotonic()
        if step.phase != self._phase:
            self._phase, self._first, self._began = step.phase, step.events, now
        return (step.events - self._first) / max(now - self._began, 0.001)


class _Lines:
    def __init__(self) -> None:
        self._rate = _Rate()
        self._phase = ""
        self._told = 0.0

    def tell(self, step: Step) -> None:
        rate, now = round(self._rate.of(step)), time.monotonic()
        if step.phase == self._phase and now - self._told < 1 and step.events < step.total:
            return
        self._phase, self._told = step.phase, now
        line = {**msgspec.to_builtins(step), "events_per_second": rate}
        print(msgspec.json.encode(line).decode(), flush=True)


class _Bars:
    def __init__(self, progress: object) -> None:
        from rich.progress import Progress, TaskID

        assert isinstance(progress, Progress)
        self._progress = progress
        self._rate = _Rate()
        self._tasks: dict[str, TaskID] = {}

    def tell(self, step: Step) -> None:
        rate = f"{self._rate.of(step):,.0f}/s"
        for phase, task in self._tasks.items():
            if phase != step.phase:
                self._progress.stop_task(task)
        if step.phase not in self._tasks:
            self._tasks[step.phase] = self._progress.add_task(
                step.phase.replace("_", " "), total=step.total or None, rate=""
            )
        self._progress.update(
            self._tasks[step.phase], completed=step.events, total=step.total or None, rate=rate
        )
