"""`millstream jobs cancel`, `retry`, `discard`, `reschedule`, `run`: by id, or all that match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import rich_click as click

from .choices import by_options, filter_of, filter_options
from .client import REFUSED, Api, fail, url_option
from .many import act_on_all, retry_options, spread_of
from .output import print_json, print_line

Command = Callable[..., None]

_dry_run = click.option("--dry-run", is_flag=True, help="With filters: only say how many.")
_ids = click.argument("ids", metavar="[ID]...", nargs=-1)


@click.command("cancel")
@_ids
@filter_options
@_dry_run
@by_options
@url_option
def cancel(ids: Sequence[str], url: str, dry_run: bool, **given: Any) -> None:
    """Cancel jobs, waiting or running: those named, or all that match the filters.

    \b
    millstream jobs cancel 0198f6f1-… --reason 'sent twice'
    millstream jobs cancel --type report --state scheduled --dry-run
    """
    _act(Api(url), "cancel", ids, dry_run, given, {})


@click.command("retry")
@_ids
@filter_options
@retry_options
@_dry_run
@by_options
@url_option
def retry(ids: Sequence[str], url: str, dry_run: bool, **given: Any) -> None:
    """Run ended jobs again, with fresh attempts: those named, or all that match the filters.

    Failed ones, unless --state says cancelled; those that were discarded only by id.

    \b
    millstream jobs retry --error 'connection refused' --created-after 2027-01-31T08:00:00Z
    """
    spread = spread_of(given)
    if ids and spread:
        fail("retry: --canary, --rate and --delay are for filters, not for ids", REFUSED)
    _act(Api(url), "retry", ids, dry_run, given, spread)


@click.command("discard")
@_ids
@filter_options
@_dry_run
@by_options
@url_option
def discard(ids: Sequence[str], url: str, dry_run: bool, **given: Any) -> None:
    """Take failed jobs from the dead letters: those named, or all that match the filters."""
    _act(Api(url), "discard", ids, dry_run, given, {})


@click.command("reschedule")
@_ids
@click.option("--delay", type=float, metavar="SECONDS", help="Run it that much later; 0: now.")
@click.option("--run-at", metavar="TIME", help="Run it then: 2027-01-31T08:00:00Z.")
@filter_options
@_dry_run
@by_options
@url_option
def reschedule(
    ids: Sequence[str],
    delay: float | None,
    run_at: str | None,
    url: str,
    dry_run: bool,
    **given: Any,
) -> None:
    """Give waiting jobs another time to run: those named, or all that match the filters."""
    if (delay is None) == (run_at is None):
        fail("reschedule: expected either --delay or --run-at", REFUSED)
    when: dict[str, Any] = {"run_at": run_at} if delay is None else {"delay": delay}
    _act(Api(url), "reschedule", ids, dry_run, given, when)


@click.command("run")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@by_options
@url_option
def run(ids: Sequence[str], url: str, **by: str) -> None:
    """Run waiting jobs now."""
    _each(Api(url), "reschedule", ids, by | {"delay": 0})


COMMANDS = (cancel, retry, discard, reschedule, run)


def _act(
    api: Api,
    action: str,
    ids: Sequence[str],
    dry_run: bool,
    given: dict[str, Any],
    when: dict[str, Any],
) -> None:
    """Do it to the jobs named, or to all that match; `given`: the filters, and who and why."""
    filter = filter_of(given)
    if bool(ids) == bool(filter):
        fail(f"{action}: expected ids of jobs, or filters that say which", REFUSED)
    if not ids:
        body = {"action": action, "filter": filter, "dry_run": dry_run, **given, **when}
        print_json(msgspec.json.encode(act_on_all(api, body)))
        return
    if dry_run:
        fail(f"{action}: --dry-run is for filters, not for ids", REFUSED)
    _each(api, action, ids, given | when)


def _each(api: Api, verb: str, ids: Sequence[str], body: dict[str, Any]) -> None:
    """One request per id; the first that is refused ends the command."""
    for job in ids:
        print_line(api.post(f"/jobs/{job}/{verb}", body))
