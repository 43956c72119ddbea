"""The strict pass over JSON, as a function."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.api.strict import NotStrict, TooDeep, check
from millstream.core.nesting import deeper_than, depth

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def true_depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(true_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(true_depth, value), default=0)
    return 0


@given(values)
def test_all_json_passes_and_is_measured(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        try:
            data = text.encode()
        except UnicodeEncodeError:  # a lone surrogate is no JSON that UTF-8 can carry
            continue
        if "\\ud" not in text:
            check(data, 64)
        assert depth(data) == true_depth(value)
        assert not deeper_than(data, true_depth(value))
        assert true_depth(value) == 0 or deeper_than(data, true_depth(value) - 1)


@given(values, st.text(min_size=1))
def test_a_repeated_key_is_found_wherever_it_is(value: Any, key: str) -> None:
    name = json.dumps(key.encode("utf-8", "replace").decode())
    inner = f"{{{name}: 1, {name}: 2}}"
    other = json.dumps(value)
    if "\\ud" in other:
        return
    with pytest.raises(NotStrict) as caught:
        check(f'{{"a": {other}, "b": [0, {inner}]}}'.encode(), 64)
    assert caught.value.path.startswith("$.b[1]")


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    try:
        check(data, 64)
    except NotStrict:
        return
    json.loads(data)


def test_nesting_beyond_the_fast_parser() -> None:
    deep = b"[" * 300 + b"]" * 300
    check(deep, 300)
    with pytest.raises(TooDeep):
        check(deep, 299)
    with pytest.raises(NotStrict):
        check(b"[" * 300 + b'{"a":1,"a":2}' + b"]" * 300, 400)
