"""`millstream verify-export`: offline, with the files alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.errors import MillstreamError
from ..core.proof.exports import expected_of, read_events, read_heads
from .client import REFUSED, fail
from .output import print_json

if TYPE_CHECKING:
    from ..core.proof.verifier import Verdict

FOUND = 1
_SHOWN = 50
_DAY_MS = 86_400_000


class Refused(MillstreamError):
    """An option that cannot be read."""


_file = click.Path(dir_okay=False, path_type=Path)


@click.command("verify-export")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--heads",
    "heads",
    multiple=True,
    required=True,
    type=_file,
    help="Signed heads as JSON lines: what the sealer wrote elsewhere, proof-heads, or both.",
)
@click.option(
    "--public-key", "keys", multiple=True, type=_file, help="Believe heads signed by this key."
)
@click.option("--some", is_flag=True, help="The export holds some events only, as of one job.")
@click.option(
    "--kept-days",
    metavar="DAYS|QUEUE:DAYS,…",
    help="How long retention keeps what, as in MILLSTREAM_RETENTION: nothing younger was dropped,"
    " and nothing of queues that have no rule.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole verdict as JSON.")
def command(
    path: Path,
    heads: tuple[Path, ...],
    keys: tuple[Path, ...],
    kept_days: str | None,
    *,
    some: bool,
    as_json: bool,
) -> None:
    """Hold an export against the heads that were made of its events. Needs no server.

    PATH is the folder of `millstream events export`, or one file of it.

    Names every event that was altered, deleted, inserted or reordered since it was sealed, what
    was cut off at the end, and heads that are forged, missing or do not follow each other. Which
    event of a segment was altered can be told where a file of heads has their leaves
    (`proof-heads --leaves`). What is missing because retention dropped it, as the manifest says, is
    told apart; the manifest is not signed, so say with --kept-days how old it must have been: as in
    MILLSTREAM_RETENTION, 30 or '*:90,emails:7'.

    Exit code 0: all is as it was sealed. 1: it is not, or nothing could be proved. 2: a file cannot
    be read.

    \b
    millstream verify-export audit --heads heads.jsonl --public-key seal.key.pub
    """
    try:
        verdict = _verify(path, heads, keys, kept_days, whole=not some)
    except MillstreamError as error:
        fail(str(error), REFUSED)
    if as_json:
        print_json(msgspec.json.encode(verdict))
    else:
        _print(verdict)
    sys.exit(0 if verdict.sound and not _idle(verdict) else FOUND)


def _verify(
    path: Path,
    heads: tuple[Path, ...],
    keys: tuple[Path, ...],
    kept_days: str | None,
    *,
    whole: bool,
) -> Verdict:
    from ..core.proof.signing import read_public
    from ..core.proof.verifier import Drops, Verifier

    believed = read_public(list(keys)) if keys else None
    given = (signed for file in heads for signed in read_heads(file))
    rules = None if kept_days is None else _rules(kept_days)
    spans, before, dropped = expected_of(path)
    old = None
    if rules is not None:
        now = time.time_ns() // 1_000_000
        begun = min(now, before or now)
        old = {queue: begun - round(days * _DAY_MS) for queue, days in rules.items()}
    drops = Drops(dropped, old)
    verifier = Verifier(given, believed, whole=whole, spans=spans, before=before, drops=drops)
    for record in read_events(path):
        verifier.take(record)
    return verifier.close()


def _idle(verdict: Verdict) -> bool:
    """Whether there were events, and the heads say nothing of any of them."""
    return verdict.events > 0 and verdict.proved == 0


def _rules(text: str) -> dict[str, float]:
    """Queue, or `*` for all others, and for how many days it is kept. Raises Refused."""
    from ..core.config_values import Unfit, kept

    found: dict[str, float] = {}
    for given in text.split(","):
        rule = given.strip()
        try:
            queue, _, days = kept(rule if ":" in rule else f"*:{rule}").rpartition(":")
        except Unfit as error:
            raise Refused(f"--kept-days: expected days, or rules {error}, got {given!r}") from None
        if queue in found:
            raise Refused(f"--kept-days: expected one rule for {queue}, got several")
        found[queue] = float(days)
    return found


def _print(verdict: Verdict) -> None:
    found = sum(verdict.counts.values())
    told = "all as it was sealed" if verdict.sound else f"{found} findings"
    if verdict.sound and _idle(verdict):
        told = "nothing proved"
    print(f"{told}: {verdict.events} events, {verdict.proved} proved by {verdict.heads} heads")
    for finding in verdict.findings[:_SHOWN]:
        print(f"  {finding}")
    if found > min(_SHOWN, len(verdict.findings)):
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.counts.items()))
        print(f"  and more; in all: {counts}")
    for partition, count in sorted(verdict.dropped.items()):
        print(f"dropped for their age, the manifest says: {count} events of {partition}")
    for partition, count in sorted(verdict.unsealed.items()):
        print(
            f"not proved: {count} events of {partition}, which no head covers, or only together"
            " with events that are not here: the hashes of those (proof-heads --leaves) would do"
        )
    if not verdict.signed:
        print("signatures were not checked: expected --public-key")
