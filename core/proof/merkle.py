"""Merkle trees as in RFC 9162, section 2.1: SHA-256, leaves hashed with 0x00, nodes with 0x01.

Everything here takes the hashes of leaves (`leaf_hash`), 32 bytes each, in order.
"""

from collections.abc import Sequence
from hashlib import sha256

SIZE = 32
EMPTY = sha256().digest()
"""The root of no leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves."""
    if not leaves:
        return EMPTY
    return _levels(leaves)[-1][0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root, the lowest first."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"expected a leaf from 0 to {len(leaves) - 1}, got: {index}")
    path: list[bytes] = []
    for level in _levels(leaves)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return path


def root_of_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to (RFC 9162, 2.1.3.2); None if it is no path of such a tree."""
    if not 0 <= index < size:
        return None
    at, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        at >>= 1
        last >>= 1
    return found if last == 0 else None


def _levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """All levels from the leaves to the root. A node without a sibling moves up as it is: that is
    the tree of the RFC, whose left half is the largest power of two."""
    levels: list[Sequence[bytes]] = [leaves]
    while len(level := levels[-1]) > 1:
        above = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])
        levels.append(above)
    return levels
