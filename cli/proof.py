"""`millstream proof`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.errors import MillstreamError
from ..core.events import Record
from ..core.proof.heads import HeadLine, event_hash, read_head
from ..core.proof.merkle import root_of_path
from .client import REFUSED, Api, fail, url_option
from .output import print_json

if TYPE_CHECKING:
    from ..core.proof.signing import PublicKeys

WRONG = 1


class _Proof(msgspec.Struct):
    record: Record
    index: int
    path: list[str]
    head: HeadLine


@click.command("proof")
@click.argument("position")
@click.option(
    "--public-key",
    "keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Believe heads signed by this key (the .pub of proof-key). May be repeated.",
)
@url_option
def command(position: str, keys: tuple[Path, ...], url: str) -> None:
    """The proof of one event: its hash, the hashes up to the head of its segment, and that head.

    What the API answers is not believed but checked here: that the event leads to the head and,
    with --public-key, that the head is signed. Exit code 1 where it does not, 2 where there is no
    such event or key.

    \b
    millstream proof default:1:42 --public-key seal.key.pub
    """
    from ..core.proof.signing import read_public

    try:
        believed = read_public(list(keys)) if keys else None
    except MillstreamError as error:
        fail(str(error), REFUSED)
    found = Api(url).get(f"/events/{position}/proof")
    print_json(found)
    reason = _fault(msgspec.json.decode(found, type=_Proof), position, believed)
    if reason is not None:
        print(f"millstream: not proved: {reason}", file=sys.stderr)
        sys.exit(WRONG)
    told = "its head is signed" if keys else "the signature was not checked (--public-key)"
    print(f"proved: {position} is in its segment; {told}", file=sys.stderr)


def _fault(proof: _Proof, position: str, keys: PublicKeys | None) -> str | None:
    signed, record = read_head(msgspec.json.encode(proof.head)), proof.record
    head = signed.head
    if record.position != position:
        return f"it is of {record.position}"
    if (head.partition, head.epoch, head.first + proof.index) != (
        record.partition, record.epoch, record.seq,
    ):  # fmt: skip
        return "the head is of another segment"
    path = [bytes.fromhex(each) for each in proof.path]
    if root_of_path(event_hash(record), proof.index, head.size, path) != head.root:
        return "the event does not lead to the root of the head: it is not what was sealed"
    return None if keys is None else keys.verify(signed)
