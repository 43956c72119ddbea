"""The command itself: what is started, in which order, and what the exit code says."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import rich_click as click

from ..client import fail


@click.command("demo")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the servers' data there; default: a folder that is removed at the end.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the jobs may take.",
)
def command(data: Path | None, timeout: float) -> None:
    """Run a few hundred real jobs through everything, and check what became of them.

    Starts what `millstream up` starts, on a free port, and a mail server that keeps what it gets.
    Submits over HTTP: SQL queries over four years of weather, mails (some of which are refused at
    first), a delayed job, one that is cancelled, and jobs that end in the dead letters. Then it
    shows counts, percentiles, the history of one job and the mails, and checks each of its
    promises. Exit code 0: all held; 1: it says which did not.

    \b
    millstream demo
    """
    try:
        from .show import run
    except ModuleNotFoundError as error:
        fail(f"the demo needs {error.name}: pip install 'millstream[demo]'", 1)
    with _interruptible(), _folder(data) as folder:
        sys.exit(0 if run(folder, timeout) else 1)


@contextlib.contextmanager
def _folder(given: Path | None) -> Generator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="millstream-demo-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does: else what was started would outlive the demo."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
