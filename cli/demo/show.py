"""The demo from start to end, and what it shows of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .plan import Planned, plan
from .post import PostOffice
from .promises import PROMISES, Evidence
from .session import Outcome, Session
from .stage import everything

_MOST_FAULTS = 5
_MAILS_SHOWN = 3
_ENDED = ("succeeded", "failed", "cancelled")


def run(folder: Path, timeout: float) -> bool:
    """Run everything below `folder`; whether all promises held."""
    console = Console(highlight=False)
    began = time.monotonic()
    console.print("Starting servers, API, projector and worker …")
    with PostOffice() as post, everything(folder, post.port) as url:
        console.print(f"Ready at {url} after {time.monotonic() - began:.1f} s")
        evidence = asyncio.run(_work(console, url, post, timeout))
        _report(console, evidence, post)
        held = _judge(console, evidence)
        console.print("Stopping …")
    console.print(f"Everything is stopped; it took {time.monotonic() - began:.1f} s in all.")
    return held


async def _work(console: Console, url: str, post: PostOffice, timeout: float) -> Evidence:
    jobs = plan()
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=30, trust_env=False) as client:
        session = Session(client)
        before = await session.summary()
        await session.submit(jobs)
        await session.cancel(session.ids[[job.kind for job in jobs].index("cancelled")])
        await _watch(console, session, before, jobs, timeout)
        outcomes = await session.outcomes(jobs)
        after = await session.summary()
    return Evidence(outcomes, before, after, dict(post.received))


async def _watch(
    console: Console,
    session: Session,
    before: Mapping[str, Any],
    jobs: Sequence[Planned],
    timeout: float,
) -> None:
    """A bar that moves as jobs end; on no terminal a line when all have."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task(f"{len(jobs)} jobs", total=len(jobs), told="")
        async for counts in session.progress(before["total"] + len(jobs), timeout):
            grown = {state: count - before["by_state"][state] for state, count in counts.items()}
            told = ", ".join(f"{count} {state}" for state, count in grown.items() if count)
            ended = sum(grown[state] for state in _ENDED)
            progress.update(bar, completed=ended, told=told)


def _report(console: Console, evidence: Evidence, post: PostOffice) -> None:
    _print_summary(console, evidence.after)
    _print_history(console, next(one for one in evidence.outcomes if one.planned.kind == "flaky"))
    mails = sum(evidence.mails.values())
    console.print(f"\n[bold]Mails[/bold]: {mails} received, {post.refused} refusals on the way")
    for subject in islice(post.subjects, _MAILS_SHOWN):
        console.print(f"  {subject}", markup=False)


def _print_summary(console: Console, summary: Mapping[str, Any]) -> None:
    states = ", ".join(f"{count} {state}" for state, count in summary["by_state"].items() if count)
    console.print(f"\n[bold]States[/bold]: {states}")
    table = Table("", "p50", "p95", "p99", box=None, header_style="bold")
    for name, title in (("wait_ms", "waiting"), ("run_ms", "running")):
        figures = [summary[name][key] for key in ("p50", "p95", "p99")]
        table.add_row(
            title, *(f"{figure:.1f} ms" if figure is not None else "–" for figure in figures)
        )
    console.print(table)


def _print_history(console: Console, outcome: Outcome) -> None:
    job = outcome.job
    console.print(f"\n[bold]History[/bold] of {job['type']} {job['id']}")
    for event in outcome.history:
        body = bytes(event.body).decode()
        line = f"  {event.time:%H:%M:%S.%f}"[:-3] + f"  {event.version}  {event.type:<20} {body}"
        console.print(line, markup=False, no_wrap=True, overflow="ellipsis", crop=True)


def _judge(console: Console, evidence: Evidence) -> bool:
    console.print("\n[bold]Promises[/bold]")
    held = True
    for promise in PROMISES:
        faults = list(promise.faults(evidence))
        held = held and not faults
        mark = "[red]broken[/red]" if faults else "[green]held[/green]  "
        console.print(f"  {mark} {promise.text}")
        for fault in faults[:_MOST_FAULTS]:
            console.print(f"           {fault}", markup=False, soft_wrap=True)
        if len(faults) > _MOST_FAULTS:
            console.print(f"           … and {len(faults) - _MOST_FAULTS} more")
    console.print()
    return held
