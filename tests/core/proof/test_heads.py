"""Heads: what is signed, the chain, and the files keys are in."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.audits.findings import Findings
from millstream.core.codec import encode
from millstream.core.errors import ConfigError
from millstream.core.proof.chains import read_chains
from millstream.core.proof.heads import Head, SignedHead, UnreadableHead, event_hash, line_of
from millstream.core.proof.heads import read_head as read
from millstream.core.proof.signing import KeyTrouble, make_key, read_public, read_signer
from tests.strategies import logs

from .makers import KEYS, SIGNER, event, seal

LOG = [event(seq) for seq in range(1, 21)]
HEADS = seal(LOG, (8, 5, 7))


def found(heads: list[SignedHead]) -> set[str]:
    findings = Findings()
    read_chains(heads, KEYS, findings)
    return set(findings.counts)


def changed(signed: SignedHead, **fields: object) -> SignedHead:
    """Another head, with the signature of the one before."""
    return signed._replace(head=signed.head._replace(**fields))


def test_the_encoding_of_an_event_is_what_the_page_says() -> None:
    record = event(7)
    texts = [b"default", b"1750000000007-0", b"job.queued", b"job-1", b'{"n":7}']
    numbers = struct.pack(">qqqq", 1, 7, 3, 1_750_000_000_007)
    lengths = struct.pack(">IIIII", *map(len, texts))
    data = b"\0millstream.event.1\n" + numbers + lengths + b"".join(texts)
    assert event_hash(record) == hashlib.sha256(data).digest()


@given(logs(max_jobs=2, max_size=5))
def test_no_two_events_have_one_hash(log: list[tuple[object, ...]]) -> None:
    records = [pair[0] for pair in log]
    assert len({event_hash(record) for record in records}) == len(records)  # pyright: ignore[reportArgumentType]


def test_a_good_chain_in_any_order_and_twice() -> None:
    assert found(HEADS) == set()
    assert found([*reversed(HEADS), HEADS[1]]) == set()


@pytest.mark.parametrize(
    ("heads", "names"),
    [
        ([HEADS[0], HEADS[2]], {"head-missing"}),
        (HEADS[1:], set[str]()),
        ([*HEADS, changed(HEADS[1], sealed_at=5)], {"forked"}),
        ([HEADS[0], changed(HEADS[1], last=12), HEADS[2]],
         {"forged", "unchained", "leaves-altered"}),
        ([changed(HEADS[0], previous=b"x" * 32), *HEADS[1:]], {"forged", "unchained"}),
        ([HEADS[0]._replace(signature=bytes(64))], {"forged"}),
        ([HEADS[0]._replace(key="other")], {"forged"}),
        ([HEADS[0]._replace(leaves=bytes(8 * 32))], {"leaves-altered"}),
        ([HEADS[0]._replace(leaves=HEADS[0].leaves[32:])], {"leaves-altered"}),
        ([HEADS[0], SIGNER.sign(HEADS[1].head._replace(first=8))],
         {"unchained"}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_heads_is_named(heads: list[SignedHead], names: set[str]) -> None:
    assert found(heads) == names


def test_a_line_gives_back_the_head() -> None:
    for signed in HEADS:
        assert read(encode(line_of(signed))) == signed


@pytest.mark.parametrize(
    "line", ["", "{}", "[1]", "x", encode(line_of(HEADS[0])).replace(b'"root":"', b'"root":"zz')]
)
def test_a_bad_line_is_refused(line: str) -> None:
    with pytest.raises(UnreadableHead, match="expected a signed head"):
        read(line)


@given(st.integers(0, 8 * 60))
def test_a_signature_is_of_one_head_only(bit: int) -> None:
    signed = HEADS[1]
    code = signed.head.encoded()
    flipped = int.from_bytes(code) ^ 1 << bit % (8 * len(code))
    with pytest.raises(InvalidSignature):
        KEYS.keys[SIGNER.key].verify(signed.signature, flipped.to_bytes(len(code)))


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    name = make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    signer = read_signer(path)
    keys = read_public([tmp_path / "key.pub"])
    assert signer.key == name
    assert list(keys.keys) == [name]
    signed = signer.sign(Head("q", 1, 1, 1, 2, bytes(32), bytes(32), 5))
    assert keys.verify(signed) is None
    assert "PRIVATE" not in repr(signer)
    before = path.read_bytes()
    with pytest.raises(KeyTrouble, match="not taken"):
        make_key(path)
    assert path.read_bytes() == before


def test_bad_key_files_are_refused_without_showing_them(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    secret = path.read_text().splitlines()[1]
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="its owner alone") as caught:
        read_signer(path)
    assert secret not in str(caught.value)
    with pytest.raises(ConfigError, match="readable key file"):
        read_signer(tmp_path / "none")
    text = tmp_path / "text"
    text.write_text("hello")
    text.chmod(0o600)
    with pytest.raises(ConfigError, match="Ed25519 private key"):
        read_signer(text)
    with pytest.raises(KeyTrouble, match="public key"):
        read_public([text])
    with pytest.raises(KeyTrouble, match=r"none\.pub"):
        read_public([tmp_path / "none.pub"])
