"""Encryption: only its own key opens what was encrypted, and only as what it was encrypted."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.codec import Data
from millstream.core.encryption import (
    CODEC,
    NAMES,
    Secret,
    Secrets,
    SubjectKey,
    Undecryptable,
    box_of,
)

SECRET = Secret(b"s" * 32)


def new_key(secret: Secret = SECRET) -> SubjectKey:
    return secret.open(*secret.make())


@given(st.binary(max_size=2000))
def test_what_was_encrypted_is_opened(value: bytes) -> None:
    key = new_key()
    data = key.encrypt("payload", value)
    assert data.codec == CODEC
    assert box_of(data).key == key.id
    assert key.decrypt("payload", data) == value


def test_encrypted_data_tells_nothing_and_differs_each_time() -> None:
    key = new_key()
    one, two = (
        key.encrypt("payload", b'"ada@example.org"'),
        key.encrypt("payload", b'"ada@example.org"'),
    )
    assert b"example" not in bytes(one.data)
    assert bytes(one.data) != bytes(two.data)


def test_it_is_json_and_survives_an_event() -> None:
    key = new_key()
    data = key.encrypt("result", b"[1]")
    again = msgspec.json.decode(msgspec.json.encode(data), type=Data)
    assert key.decrypt("result", again) == b"[1]"


def test_a_key_is_opened_by_the_secret_that_wrapped_it_alone() -> None:
    id, wrapped = SECRET.make()
    with pytest.raises(Undecryptable, match="another"):
        Secret(b"t" * 32).open(id, wrapped)
    with pytest.raises(Undecryptable):
        SECRET.open("another id", wrapped)
    assert SECRET.make() != SECRET.make()


def test_another_key_does_not_open_it() -> None:
    data = new_key().encrypt("payload", b"1")
    with pytest.raises(Undecryptable, match="expected data encrypted with key"):
        new_key().decrypt("payload", data)


def test_a_result_does_not_pass_as_a_payload() -> None:
    key = new_key()
    with pytest.raises(Undecryptable):
        key.decrypt("payload", key.encrypt("result", b"1"))


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_one_bit_changed_is_seen(place: int, bit: int) -> None:
    key = new_key()
    box = box_of(key.encrypt("payload", b"a payload of some bytes"))
    text = bytearray(box.text)
    text[place % len(text)] ^= 1 << bit
    changed = Data(msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(box, text=bytes(text)))))
    with pytest.raises(Undecryptable):
        key.decrypt("payload", msgspec.structs.replace(changed, codec=CODEC))


@pytest.mark.parametrize("data", [Data(), Data(msgspec.Raw(b"1"), CODEC), Data(codec="other")])
def test_other_data_is_refused(data: Data) -> None:
    with pytest.raises(Undecryptable, match="expected encrypted data"):
        new_key().decrypt("payload", data)


def test_a_secret_shows_neither_itself_nor_its_subjects() -> None:
    assert repr(SECRET) == "Secret(***)"
    assert "ada" not in SECRET.digest("ada")
    assert SECRET.digest("ada") == Secret(b"s" * 32).digest("ada") != SECRET.digest("bob")
    with pytest.raises(ValueError, match="32 bytes, got 3"):
        Secret(b"abc")


def test_a_secret_is_changed_while_both_are_known() -> None:
    old, new = b"o" * 32, b"n" * 32
    before, both, after = Secrets(old), Secrets(new, old), Secrets(new)
    id, wrapped = before.maker(None).make()
    # Until it is rotated, keys are made that whoever knows the old one alone can open.
    assert before.open(*both.maker(None).make())
    encrypted = before.open(id, wrapped).encrypt("payload", b"1")
    kept = both.names()
    rewrapped = both.rewrapped(id, wrapped)
    assert both.rewrapped(id, rewrapped) == rewrapped
    assert after.open(id, rewrapped).decrypt("payload", encrypted) == b"1"
    with pytest.raises(Undecryptable):
        before.open(id, rewrapped)
    assert after.open(*both.maker(kept).make())
    named = {
        secrets.naming(row).digest("ada")
        for secrets, row in ((before, None), (both, None), (both, kept), (after, kept))
    }
    assert named == {Secret(old).digest("ada")}
    # And once more.
    last = Secrets(b"l" * 32, new)
    assert after.open(*last.maker(kept).make())
    assert last.naming(last.rewrapped(NAMES, kept)).digest("ada") in named
    assert last.rotated(NAMES, last.rewrapped(NAMES, kept))
    with pytest.raises(Undecryptable):
        last.rewrapped(id, wrapped)
