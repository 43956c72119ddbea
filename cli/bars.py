"""How far a long command is, for whoever looks on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def events_bar() -> Generator[tuple[Callable[[int, int], None], Callable[[int], None]]]:
    """A bar on a terminal, and nothing elsewhere; what begins it and what moves it."""
    if not sys.stderr.isatty():
        yield (lambda total, done: None), (lambda count: None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeRemainingColumn())
    # What the command prints is for whoever reads its output, not for this terminal.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as progress:
        task = progress.add_task("events", total=None)

        def begin(total: int, done: int) -> None:
            progress.update(task, total=total, completed=done)

        yield begin, lambda count: progress.advance(task, count)
