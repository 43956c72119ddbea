"""The hot state's layout is the same in Python and in Lua."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

import millstream.core
from millstream.core.codec import wrap
from millstream.core.events import JobSubmitted, body_of
from millstream.core.hot import _HEADER, STATES, read_job, read_lease
from millstream.core.jobs import LIVE, JobState

LUA = Path(millstream.core.__file__).parent / "lua" / "includes" / "header.lua"

PACK = (
    LUA.read_text()
    + """
local n = {}
for i = 1, 8 do n[i] = tonumber(ARGV[i]) end
return pack(n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], ARGV[9]) .. ARGV[10]
"""
)
UNPACK = (
    LUA.read_text()
    + """
local s, p, f, c, a, v, fence, x, entry = struct.unpack(FORMAT, ARGV[1])
return {s, p, f, c, a, v, fence, x, entry}
"""
)

headers = st.tuples(
    st.sampled_from(sorted(STATES)),
    st.integers(0, 9),
    st.integers(0, 15),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**53),
    st.just("") | st.builds("{}-{}".format, st.integers(0, 10**13 - 1), st.integers(0, 10**13 - 1)),
)
SPEC = body_of(JobSubmitted("mail", payload=wrap({"zero": "\0"}), tags=["a"]))

on_a_server = settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@on_a_server
@given(headers)
def test_what_lua_packs_python_reads(redis_url: str, header: tuple[object, ...]) -> None:
    with Redis.from_url(redis_url) as redis:
        raw = redis.eval(PACK, 0, *map(str, header), SPEC)
    assert isinstance(raw, bytes)
    *numbers, entry = _HEADER.unpack_from(raw)
    assert (*numbers, entry.rstrip(b"\0").decode()) == header
    assert raw[_HEADER.size :] == SPEC


@on_a_server
@given(headers)
def test_what_python_packs_lua_reads(redis_url: str, header: tuple[object, ...]) -> None:
    raw = _HEADER.pack(*header[:8], str(header[8]).encode()) + SPEC
    with Redis.from_url(redis_url) as redis:
        reply: Any = redis.eval(UNPACK, 0, raw)
    *numbers, entry = reply
    assert (*numbers, entry.decode()) == header


def test_a_lease_is_one_attempt_further() -> None:
    raw = _HEADER.pack(2, 5, 0, 3, 1, 6, 7, 0, b"5-0") + SPEC
    lease = read_lease("default", "id", raw, 99)
    assert (lease.partition, lease.id, lease.now) == ("default", "id", 99)
    assert (lease.fence, lease.attempt, lease.crashes) == (7, 2, 3)
    assert (lease.spec, lease.steps) == (SPEC, False)
    assert read_lease("default", "id", _HEADER.pack(2, 5, 11, 0, 0, 1, 2, 0, b""), 0).steps
    assert lease.decode().type == "mail"


def test_a_live_job_is_read_before_any_table_knows_it() -> None:
    raw = _HEADER.pack(5, 5, 1, 3, 2, 8, 0, 0, b"") + SPEC
    job = read_job("id", raw)
    assert (job.id, job.state, job.version) == ("id", JobState.RETRYING, 8)
    assert (job.attempt, job.crashes, job.cancel_requested) == (2, 3, True)
    assert job.spec.payload.decode() == {"zero": "\0"}
    assert not read_job("id", _HEADER.pack(2, 5, 2, 0, 0, 1, 2, 0, b"") + SPEC).cancel_requested


def test_a_spec_of_a_later_release_that_cannot_be_read_is_said_so() -> None:
    raw = _HEADER.pack(2, 5, 0, 0, 0, 1, 2, 0, b"") + b'{"type":7}'
    with pytest.raises(msgspec.ValidationError):
        read_lease("default", "id", raw, 0).decode()


def test_every_live_state_has_a_number_and_lua_s_numbers_are_the_same() -> None:
    assert set(STATES.values()) == LIVE
    found = re.search(r"local (SCHEDULED[A-Z, ]+) = ([\d, ]+)\n", LUA.read_text())
    assert found is not None
    names, numbers = found.groups()
    for name, number in zip(names.split(", "), numbers.split(", "), strict=True):
        assert STATES[int(number)].name == name
