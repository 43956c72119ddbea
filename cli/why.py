"""`millstream why`: plain sentences on a job, or on a schedule's occurrences."""

from __future__ import annotations

import sys

import msgspec
import rich_click as click

from .client import REFUSED, Api, fail, url_option
from .output import print_line


class _Sentence(msgspec.Struct):
    code: str
    text: str
    events: list[str]


class _Why(msgspec.Struct):
    sentences: list[_Sentence]


@click.command("why")
@click.argument("job", required=False)
@click.option("--schedule", metavar="NAME", help="Instead of a job: a schedule's occurrences.")
@click.option("--json", "as_json", is_flag=True, help="JSON on one line, as when piped.")
@url_option
def command(job: str | None, schedule: str | None, as_json: bool, url: str) -> None:
    """Why a job waits, ran more than once, was delayed, replaced, cancelled or given up.

    Each sentence names the events that say so; `millstream events` shows them.

    \b
    millstream why 0198f6f1-…
    millstream why --schedule nightly
    """
    if (job is None) == (schedule is None):
        fail("expected either a job or --schedule", REFUSED)
    path = f"/jobs/{job}/why" if schedule is None else f"/schedules/{schedule}/why"
    found = Api(url).get(path)
    if as_json or not sys.stdout.isatty():
        print_line(found)
    else:
        _print(msgspec.json.decode(found, type=_Why).sentences)


def _print(sentences: list[_Sentence]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for sentence in sentences:
        console.print(Text(sentence.text), Text(" ".join(sentence.events), style="dim"))
