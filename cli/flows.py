"""`millstream flows`: jobs that wait for each other: submit, list, show, add to, close, cancel."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from .choices import by_options
from .client import REFUSED, Api, fail, url_option
from .jobs import ListByDefault
from .output import print_json, print_line

_PAGE = 500
_PART = 5_000
"""Jobs of one request."""


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Flow(msgspec.Struct):
    id: str


@click.group("flows", cls=ListByDefault)
def command() -> None:
    """Flows: jobs that wait for each other.

    \b
    millstream flows submit flow.json
    millstream flows batch pages.jsonl --then '{"type": "merge"}'
    millstream flows show 0198f6f1-…
    millstream flows cancel 0198f6f1-… --reason 'not needed'
    """


@command.command("submit")
@click.argument("file")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same request under the same key is done once."
)
@url_option
def submit(file: str, idempotency_key: str | None, url: str) -> None:
    """Submit the flow that FILE (or `-`) holds, as POST /flows takes it; print the answer."""
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    print_json(Api(url).post("/flows", _json(file, _text(file)), headers))


@command.command("batch")
@click.argument("file")
@click.option("--then", required=True, metavar="JSON", help="The job that follows the batch.")
@url_option
def batch(file: str, then: str, url: str) -> None:
    """Submit the jobs that FILE (or `-`) holds, one JSON per line, and one that follows them all.

    There may be any number: they are sent in parts, and the flow is closed behind the last. If that
    breaks off the flow stays open, and is named: add the rest to it, or cancel it.
    """
    api = Api(url)
    last = _json("--then", then.encode())
    parts = list(_parts(file))
    opened = api.post("/flows", {"batch": [], "then": last, "open": True}, _fresh())
    flow = msgspec.json.decode(opened, type=_Flow).id
    with _telling_what_is_open(flow):
        for part in parts:
            api.post(f"/flows/{flow}/jobs", {"jobs": part}, _fresh())
        closed = api.post(f"/flows/{flow}/close", {})
    print_json(closed)


@command.command("add")
@click.argument("flow")
@click.argument("file")
@click.option("--close", is_flag=True, help="They are the last.")
@url_option
def add(flow: str, file: str, close: bool, url: str) -> None:
    """Add jobs, one JSON per line of FILE (or `-`), to the batch of an open flow."""
    api = Api(url)
    parts = list(_parts(file))
    for number, part in enumerate(parts, 1):
        body = {"jobs": part, "close": close and number == len(parts)}
        print_json(api.post(f"/flows/{flow}/jobs", body, _fresh()))


@command.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def list_(limit: int, as_json: bool, url: str) -> None:
    """Flows, newest first: a table on a terminal, JSON lines when piped."""
    found = list(_pages(Api(url), "/flows", limit))
    if as_json or not sys.stdout.isatty():
        for flow in found:
            print_line(flow)
    else:
        _print_table([msgspec.json.decode(flow) for flow in found])


@command.command("show")
@click.argument("flow")
@click.option("--graph", is_flag=True, help="Its jobs, and who waits for whom, as JSON lines.")
@url_option
def show(flow: str, graph: bool, url: str) -> None:
    """How a flow stands: its jobs by state."""
    api = Api(url)
    found = api.get(f"/flows/{flow}")
    if not graph:
        print_json(found)
        return
    for path in ("jobs", "edges"):
        for one in _pages(api, f"/flows/{flow}/{path}", sys.maxsize):
            print_line(one)


@command.command("close")
@click.argument("flow")
@by_options
@url_option
def close(flow: str, url: str, **by: str) -> None:
    """Close an open flow: the job that follows its batch waits for no more."""
    print_json(Api(url).post(f"/flows/{flow}/close", by))


@command.command("cancel")
@click.argument("flow")
@by_options
@url_option
def cancel(flow: str, url: str, **by: str) -> None:
    """Cancel all jobs of a flow that have not ended; running ones are asked to stop."""
    api, total = Api(url), {"cancelled": 0, "requested": 0}
    more = True
    while more:
        answer = msgspec.json.decode(api.post(f"/flows/{flow}/cancel", by))
        more = answer["more"]
        total = {name: total[name] + answer[name] for name in total}
    print_json(msgspec.json.encode(total))


@contextmanager
def _telling_what_is_open(flow: str) -> Generator[None]:
    """What breaks off leaves a job that would wait for ever: say which, and what can be done."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        print(
            f"millstream: flow {flow} is open, with the jobs that were accepted before: add the"
            f" others with `millstream flows add {flow} FILE --close`, or end it with"
            f" `millstream flows cancel {flow}`",
            file=sys.stderr,
        )
        raise


def _fresh() -> dict[str, str]:
    """A key of its own for a request: its jobs are then known by ids that follow from it."""
    return {"idempotency-key": uuid.uuid4().hex}


def _text(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(f"expected a readable file, got {file} ({error.strerror})", REFUSED)


def _json(source: str, text: bytes) -> Any:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fail(f"{source}: expected JSON, got {text[:60]!r} ({error})", REFUSED)
    return msgspec.Raw(text)


def _parts(file: str) -> Iterator[list[Any]]:
    part: list[Any] = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if line.strip():
            part.append(_json(f"{file}: line {number}", line))
        if len(part) == _PART:
            yield part
            part = []
    if part:
        yield part


def _pages(api: Api, path: str, limit: int) -> Iterator[bytes]:
    cursor: str | None = None
    while limit > 0:
        answer = api.get(path, limit=min(limit, _PAGE), cursor=cursor)
        page = msgspec.json.decode(answer, type=_Page)
        yield from map(bytes, page.items)
        limit -= len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def _print_table(flows: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in ("id", "state", "jobs", "succeeded", "failed", "cancelled", "begun"):
        table.add_column(column, no_wrap=True)
    for flow in flows:
        counts = flow["by_state"]
        ends = (str(counts[state]) for state in ("succeeded", "failed", "cancelled"))
        table.add_row(flow["id"], flow["state"], str(flow["total"]), *ends, flow["first_at"][:19])
    Console().print(table)
