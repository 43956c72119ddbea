"""`millstream verify`: the tables against the archive."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.config import Settings
from ..core.errors import MillstreamError
from . import options
from .client import REFUSED, fail
from .output import print_json

if TYPE_CHECKING:
    from ..projections.verify.report import Cursor, Outcome

FOUND = 1
_SHOWN = 50
_SAVE_EVERY = 2.0


class Refused(MillstreamError):
    """What was asked for cannot be done."""


@click.command("verify")
@click.option("--queue", "queues", multiple=True, help="Only these queues; default: all.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    default=100,
    metavar="PERCENT",
    help="Look at that part of all pages; default 100.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Note here how far it is; where the file is there, go on from it.",
)
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON.")
@options.data_option
def command(
    queues: tuple[str, ...],
    sample: float,
    state: Path | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Hold the tables against the archive of events, which they must be the fold of.

    Checks that seqs and versions have no gaps and every transition was legal, that each row of
    jobs is what its events tell, that counters are what a GROUP BY gives, and statistics what the
    events add up to. Reads one snapshot in pages, in constant memory; the projector may go on.

    Exit code 0: nothing found. 1: findings. 2: it cannot be done so. 4: PostgreSQL is not there.

    \b
    millstream verify
    millstream verify --sample 5 --json
    millstream verify --state verify.state
    """
    with options.connected(options.load(), data) as settings:
        try:
            outcome = _verify(settings, sample / 100, queues, state)
        except Refused as error:
            fail(str(error), REFUSED)
    if as_json:
        print_json(msgspec.json.encode(outcome))
    else:
        _print(outcome)
    sys.exit(0 if outcome.sound else FOUND)


def _verify(
    settings: Settings, share: float, queues: tuple[str, ...], state: Path | None
) -> Outcome:
    from ..projections.retention.policy import Policy
    from ..projections.verify.report import Plan
    from ..projections.verify.verifying import verify

    progress = _Progress(state)
    cursor = None if state is None else _read(state)
    days = Policy.of(settings).days
    plan = Plan(share, queues, Policy(days).cutoffs(days, time.time_ns() // 1_000_000))
    outcome = asyncio.run(verify(settings.postgres_dsn, plan, cursor, progress.tell))
    if state is not None:
        state.unlink(missing_ok=True)
    return outcome


def _read(state: Path) -> Cursor | None:
    from ..projections.verify.report import Cursor

    try:
        return msgspec.json.decode(state.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"--state: {state}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Refused(f"--state: expected a state of this command in {state}: {error}") from None


class _Progress:
    """Keeps the state file, and shows on a terminal how far it is."""

    def __init__(self, state: Path | None) -> None:
        self._state = state
        self._began = time.monotonic()
        self._saved = self._began

    def tell(self, at: Cursor) -> None:
        now = time.monotonic()
        if now - self._saved < _SAVE_EVERY:
            return
        self._saved = now
        if self._state is not None:
            _write(self._state, at)
        if sys.stderr.isatty():
            rate = (at.events + at.jobs) / (now - self._began)
            where = f"log of {at.partition}" if at.job is None else "jobs"
            text = f"{where}: {at.events:,} events, {at.jobs:,} jobs, {rate:,.0f}/s"
            print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def _write(state: Path, at: Cursor) -> None:
    beside = state.with_name(state.name + ".new")
    try:
        beside.write_bytes(msgspec.json.encode(at))
        os.replace(beside, state)  # noqa: PTH105 (whole or not at all)
    except OSError as error:
        raise Refused(f"--state: {state}: {error.strerror}") from None


def _print(outcome: Outcome) -> None:
    found = sum(outcome.counts.values())
    told = "nothing found" if outcome.sound else f"{found} findings"
    print(f"{told}: {outcome.events} events read, {outcome.jobs} jobs held against theirs")
    for finding in outcome.findings[:_SHOWN]:
        print(f"  {finding}")
    if found > _SHOWN:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.counts.items()))
        print(f"  and more; in all: {counts}")
    for note in outcome.notes:
        print(f"note: {note}")
