"""Logs and their heads, made without a server."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from millstream.core.events import Record
from millstream.core.proof.heads import FIRST, Head, SignedHead, event_hash
from millstream.core.proof.merkle import root
from millstream.core.proof.signing import PublicKeys, Signer

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Signer(PRIVATE)
KEYS = PublicKeys({SIGNER.key: PRIVATE.public_key()})


def event(seq: int, body: bytes = b"", epoch: int = 1, partition: str = "default") -> Record:
    """An event like any."""
    return Record(
        partition, seq, epoch, "job.queued", f"job-{seq % 3}", seq // 3 + 1,
        body or b'{"n":%d}' % seq, 1_750_000_000_000 + seq, f"{1_750_000_000_000 + seq}-0",
    )  # fmt: skip


def seal(
    records: Sequence[Record], sizes: Sequence[int], *, leaves: bool = True
) -> list[SignedHead]:
    """Signed heads of segments of these sizes."""
    heads: list[SignedHead] = []
    previous, at = FIRST, 0
    for number, size in enumerate(sizes, 1):
        part = records[at : at + size]
        at += size
        hashes = [event_hash(record) for record in part]
        head = Head(
            part[0].partition, number, part[0].epoch, part[0].seq, part[-1].seq, root(hashes),
            previous, 1_750_000_000_000,
        )  # fmt: skip
        heads.append(SIGNER.sign(head, b"".join(hashes) if leaves else b""))
        previous = head.digest()
    return heads
