"""Payloads and results as they stand in events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from millstream.core.codec import NULL, Data, encode, wrap
from tests.strategies import json_values


@given(json_values)
def test_what_is_wrapped_comes_out(value: Any) -> None:
    assert wrap(value).decode() == value


@given(json_values)
def test_it_survives_the_log(value: Any) -> None:
    written = encode(wrap(value))
    assert msgspec.json.decode(written, type=Data).decode() == value
    assert encode(msgspec.json.decode(written, type=Data)) == written


def test_bytes_are_kept_as_they_came() -> None:
    raw = b'{"data":{"b": 1.0,  "a":"\\u0000\\u00e9", "n":12345678901234567890123},"codec":"json"}'
    data = msgspec.json.decode(raw, type=Data)
    assert bytes(data.data) == raw[8:-16]
    assert bytes(data.data) in encode(data)


def test_the_wrapping_always_names_its_codec() -> None:
    assert encode(wrap({})) == b'{"data":{},"codec":"json"}'
    assert encode(Data()) == b'{"data":null,"codec":"json"}'
    assert bytes(NULL) == b"null"


def test_a_fault_has_its_path() -> None:
    class Mail(msgspec.Struct):
        to: list[str]

    assert wrap({"to": ["ada"]}).decode(Mail) == Mail(["ada"])
    with pytest.raises(msgspec.ValidationError, match=r"\$\.to\[1\]"):
        wrap({"to": ["ada", 7]}).decode(Mail)


def test_a_payload_of_another_codec_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="expected a payload of codec 'json', got codec 'aes'"):
        Data(NULL, "aes").decode()


def test_a_value_that_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        wrap(object())
