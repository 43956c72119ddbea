"""The tree against RFC 9162: known vectors, the recursive definition, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.proof.merkle import (
    EMPTY,
    inclusion_path,
    leaf_hash,
    node_hash,
    root,
    root_of_path,
)

LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the first 0 … 8 leaves, as logs of Certificate Transparency are tested with."""


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


def defined(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, as it stands there."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(defined(leaves[:half]), defined(leaves[half:]))


hashes = st.lists(st.binary(max_size=4).map(leaf_hash), min_size=1, max_size=80)


@given(hashes)
def test_the_root_is_the_defined_one(leaves: list[bytes]) -> None:
    assert root(leaves) == defined(leaves)


@given(hashes, st.data())
def test_every_leaf_has_a_path_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = inclusion_path(leaves, index)
    assert root_of_path(leaves[index], index, len(leaves), path) == root(leaves)
    assert len(path) <= (len(leaves) - 1).bit_length()


@given(hashes, st.data())
def test_a_bit_changed_anywhere_leads_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    parts = [leaves[index], *inclusion_path(leaves, index)]
    which = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = int.from_bytes(parts[which]) ^ 1 << bit
    parts[which] = changed.to_bytes(32)
    assert root_of_path(parts[0], index, len(leaves), parts[1:]) != root(leaves)


@given(hashes, st.data())
def test_a_path_is_of_one_place_in_a_tree_of_one_size(
    leaves: list[bytes], data: st.DataObject
) -> None:
    leaves = [leaf_hash(bytes([at])) for at in range(len(leaves))]  # all of them differ
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = inclusion_path(leaves, index)
    other = data.draw(st.integers(-1, len(leaves)).filter(lambda at: at != index))
    assert root_of_path(leaves[index], other, len(leaves), path) != root(leaves)
    assert root_of_path(leaves[index], index, len(leaves), [*path, EMPTY]) is None
    if path:
        assert root_of_path(leaves[index], index, len(leaves), path[:-1]) is None


@given(hashes, hashes)
def test_what_is_appended_keeps_whole_subtrees(old: list[bytes], more: list[bytes]) -> None:
    """Consistency: over a full left half, the new root is a node over the old one."""
    size = 1 << (len(old) - 1).bit_length()
    full = (old * 2)[:size]
    more = more[:size]
    assert root(full + more) == node_hash(root(full), root(more))


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_of_no_leaf(index: int) -> None:
    with pytest.raises(IndexError, match="from 0 to 2"):
        inclusion_path(LEAVES[:3], index)
