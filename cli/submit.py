"""`millstream submit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from .client import REFUSED, TERMINAL, TIMEOUT, Api, fail, url_option
from .output import print_json
from .uniqueness import unique_of, unique_options

_DEFAULT_WAIT = 60.0


@click.command("submit")
@click.argument("type_", metavar="TYPE")
@click.option("--payload", metavar="JSON|@FILE|-", help="The payload: JSON, a file, or stdin.")
@click.option("--queue", help="Default: that of the job type.")
@click.option("--priority", type=int, help="0 (first) to 9; default 5.")
@click.option("--delay", type=float, metavar="SECONDS", help="Run it that much later.")
@click.option("--run-at", metavar="TIME", help="Run it then: 2027-01-31T08:00:00Z.")
@click.option("--max-attempts", type=int, help="Default: that of the job type.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Bound of one attempt.")
@click.option("--expires-at", metavar="TIME", help="Do not start it after that.")
@click.option("--concurrency-key", metavar="KEY", help="It shares the limits kept by that key.")
@click.option("--rate-key", metavar="KEY", help="The same, of limits of rate.")
@click.option("--subject", help="Whom it is about: what it holds is encrypted, to be erased.")
@click.option(
    "--ack",
    type=click.Choice(["memory", "fsync", "replicated", "archived"]),
    help="Where the job must be before the API answers; default memory.",
)
@unique_options
@click.option(
    "--idempotency-key", metavar="KEY", help="The same request under the same key is done once."
)
@click.option(
    "--depends-on", multiple=True, metavar="ID", help="Wait for that job; may be repeated."
)
@click.option(
    "--on-parent-failure",
    type=click.Choice(["fail", "cancel", "run", "wait"]),
    help="What becomes of it if one of those does not succeed; default fail.",
)
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option(
    "--wait",
    is_flag=False,
    flag_value=_DEFAULT_WAIT,
    type=click.FloatRange(min=0),
    metavar="[SECONDS]",
    help=f"Wait for its end (default {_DEFAULT_WAIT:g}) and print the finished job.",
)
@url_option
def command(type_: str, payload: str | None, wait: float | None, url: str, **given: Any) -> None:
    """Submit a job, and print the API's answer as JSON.

    With --wait the finished job is printed instead, and the exit code tells how it went: 0
    succeeded, 1 failed or cancelled, 3 not ended in time. 2: refused; 4: the API is out of reach.

    \b
    millstream submit hello --payload '{"name": "Ada"}' --wait
    millstream submit report --payload @report.json --delay 3600 --tag monthly
    millstream submit index --payload '{"page": 12}' --unique-key page-12 --replace --delay 5
    """
    body: dict[str, Any] = {"type": type_}
    if payload is not None:
        body["payload"] = _read_payload(payload)
    if metadata := given.pop("metadata"):
        body["metadata"] = dict(_pair(text) for text in metadata)
    key = given.pop("idempotency_key")
    headers = {} if key is None else {"idempotency-key": key}
    if unique := unique_of(given):
        body["unique"] = unique
    body |= {name: value for name, value in given.items() if value not in (None, ())}
    api = Api(url)
    accepted = api.post("/jobs", body, headers)
    if wait is None:
        print_json(accepted)
        return
    job, state = api.wait(msgspec.json.decode(accepted)["id"], wait)
    print_json(job)
    if state not in TERMINAL:
        fail(f"the job is {state} after {wait:g} s", TIMEOUT)
    sys.exit(0 if state == "succeeded" else 1)


def _read_payload(given: str) -> msgspec.Raw:
    """The payload as the JSON it was given as: numbers are not touched on the way."""
    source = "--payload"
    if given == "-":
        source, text = "stdin", sys.stdin.buffer.read()
    elif given.startswith("@"):
        source = given[1:]
        try:
            text = Path(source).read_bytes()
        except OSError as error:
            fail(f"--payload: expected a readable file, got {source} ({error.strerror})", REFUSED)
    else:
        text = given.encode()
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fail(f"{source}: expected JSON, got {_shown(text)} ({error})", REFUSED)
    return msgspec.Raw(text)


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace")) + ("…" if len(text) > 60 else "")


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        fail(f"--metadata: expected KEY=VALUE, got {text!r}", REFUSED)
    return key, value
