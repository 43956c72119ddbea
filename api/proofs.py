"""GET /events/{position}/proof: that an event is in the archive as it was sealed."""

from typing import Any

from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.events import Record, parse_position
from ..core.proof.heads import HeadLine, line_of
from .answers import answer
from .parameters import NoParameters, read
from .problems import INVALID, NOT_FOUND, NOT_SEALED, Fault, Problem
from .resources import resources_of

MOST = 2**63 - 1


class ProofView(Struct):
    """An event, and that its segment has it.

    record  the event; `body` is base64 of its exact bytes
    leaf    the hash that was sealed; this and all hashes are hexadecimal
    index   of the event in its segment, from 0; `size`: events of the segment
    path    from the leaf to the root in `head`, the lowest first
    intact  whether the archive still holds what was sealed
    """

    position: str
    record: Record
    leaf: str
    index: int
    size: int
    path: list[str]
    intact: bool
    head: HeadLine


@get("/events/{position:str}/proof")
async def get_proof(request: Request[Any, Any, Any], position: FromPath[str]) -> ASGIResponse:
    """The proof of one event, by its position."""
    read(request, NoParameters)
    tables = resources_of(request).tables
    record = await tables.event(*_place(position))
    if record is None:
        raise Problem(NOT_FOUND, f"The archive has no event {position}.")
    proof = await tables.proof(record)
    if proof is None:
        detail = f"Event {position} is archived, but not in a sealed segment yet."
        raise Problem(NOT_SEALED, detail)
    shown = ProofView(
        position=record.position,
        record=record,
        leaf=proof.leaf.hex(),
        index=proof.at,
        size=proof.signed.head.size,
        path=[each.hex() for each in proof.path],
        intact=proof.intact,
        head=line_of(proof.signed),
    )
    return answer(shown)


def _place(position: str) -> tuple[str, int, int]:
    try:
        partition, epoch, seq = parse_position(position)
    except ValueError as error:
        raise Problem(INVALID, f"{error}.", [Fault("position", str(error), "path")]) from None
    if "\0" in partition or not (0 < epoch < 2**31 and 0 < seq < MOST):
        raise Problem(NOT_FOUND, f"The archive has no event {position[:200]!r}.")
    return partition, epoch, seq
