"""Names in Redis."""

from __future__ import annotations

import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import InvalidName
from millstream.core.keys import PRIORITIES, Keys, check_job_type, check_queue, partition_code

queues = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)


@pytest.mark.parametrize("name", ["a", "0", "default", "a.b_c-d", "x" * 63])
def test_good_queue_names(name: str) -> None:
    assert check_queue(name) == name


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "_a", "A", "a b", "a{b}", "a:b", "a#1", "ä", "x" * 64, "a\n"]
)
def test_bad_queue_names_are_named(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(f"got: {name!r}")) as caught:
        check_queue(name)
    assert "1 to 63" in str(caught.value)


@pytest.mark.parametrize("name", ["a", "email.send", "Mail:v2/fast", "0" * 128])
def test_good_job_types(name: str) -> None:
    assert check_job_type(name) == name


@pytest.mark.parametrize("name", ["", ":a", "a b", "ä", "x" * 129, "a\n", 'a"', "a\\"])
def test_bad_job_types_are_named(name: str) -> None:
    with pytest.raises(InvalidName, match="job type"):
        check_job_type(name)


@given(queues, queues)
def test_all_keys_of_a_partition_share_one_slot_and_none_with_another(one: str, other: str) -> None:
    keys = Keys("app")

    def all_keys(partition: str) -> set[str]:
        return {
            keys.base(partition),
            keys.log(partition),
            keys.job(partition, "x"),
            keys.due(partition),
            keys.bell(partition),
            keys.meta(partition),
            keys.announced(partition),
            *(keys.ready(partition, priority) for priority in PRIORITIES),
        }

    assert {re.findall(r"\{(.*?)\}", key)[0] for key in all_keys(one)} == {f"app:{one}"}
    assert len(all_keys(one)) == 17
    if one != other:
        assert not all_keys(one) & all_keys(other)


@given(queues, st.sampled_from(["ms", "a", "long-namespace"]))
def test_a_partition_is_found_again_from_its_log(partition: str, namespace: str) -> None:
    keys = Keys(namespace)
    assert keys.partition_of(keys.log(partition)) == partition


def test_global_keys_are_the_namespace_s_own() -> None:
    assert (Keys("a").queues, Keys("a").types) == ("a:queues", "a:types")
    assert Keys("a").queues != Keys("b").queues


@given(queues)
def test_a_partition_code_is_its_crc32_cut_to_24_bits(partition: str) -> None:
    assert partition_code(partition) == binascii.crc32(partition.encode()) % 2**24


def test_partition_codes_never_change() -> None:
    # Ids out there end in them.
    assert {name: partition_code(name) for name in ("default", "emails", "default#1")} == CODES


CODES = {"default": 0x5E00DF, "emails": 0x81E852, "default#1": 0x0E5F2A}
