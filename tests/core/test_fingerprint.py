"""What errors have in common, and what keeps them apart."""

from __future__ import annotations

import time
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.codec import Data
from millstream.core.events import Fault
from millstream.core.fingerprint import MAX_LABEL, fingerprint_of, masked, own_frame

TRACE = """\
Traceback (most recent call last):
  File "/srv/app/shop/jobs.py", line 10, in charge
    pay(17)
  File "/srv/app/.venv/lib/python3.11/site-packages/payments/client.py", line 3, in pay
    raise Declined("no")
payments.Declined: no
"""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", ""),
        ("no customer 17 in shard 0x7f", "no customer # in shard #"),
        ("Key 'a b' not found: {\"x\": 1}", "Key '…' not found: {'…': #}"),
        ("can't open it, don't '/tmp/a' ok", "can't open it, don't '…' ok"),
        ("HTTP/1.1 503 from 10.0.0.1:6379", "HTTP/# # from #"),
        ("order A17X93 of cus_Nf83kd", "order # of #"),
        ("job 0197A5C0-0000-7000-8000-000000000001 gone", "job # gone"),
        ("commit deadbeef12 of cafe1234, not of facade", "commit # of #, not of facade"),
        ("took 1.5s at 12:30:05, -1.5e3 left", "took #.#s at #, # left"),
        ("line 3\n   column 4\t!", "line # column # !"),
        ("[Errno 111] Connect call failed ('127.0.0.1', 6379)",
         "[Errno #] Connect call failed ('…', #)"),
        ("“naïve” ‘text’ `code`", "'…' '…' '…'"),
    ],
)  # fmt: skip
def test_what_is_of_one_job_alone_is_masked(message: str, told: str) -> None:
    assert masked(message) == told


def test_of_what_is_encrypted_the_type_is_all_there_is() -> None:
    encrypted = Data(msgspec.Raw(b'{"key":"k","nonce":"n","text":"t"}'), "aes256gcm")
    told = fingerprint_of("exhausted", Fault("Declined", "", encrypted=encrypted))
    assert told == fingerprint_of("exhausted", Fault("Declined", ""))
    assert told.label == "Declined"


@given(st.integers(0, 10**12), st.uuids(), st.text("abc d", max_size=9))
def test_jobs_that_failed_alike_have_one_fingerprint(n: int, id: uuid.UUID, name: str) -> None:
    def of(n: int, id: uuid.UUID, name: str, line: int) -> str:
        text = f"no file {name!r} of {id} after {n} tries"
        trace = TRACE.replace("line 10", f"line {line}").replace("17", str(n))
        return fingerprint_of("exhausted", Fault("OSError", text, trace)).digest

    assert of(n, id, name, n) == of(3, uuid.UUID(int=5), "other", 12)


@given(st.text(max_size=200))
def test_masking_comes_to_rest(message: str) -> None:
    once = masked(message)
    assert masked(once) == once
    assert not any(letter.isdigit() and letter.isascii() for letter in once)


def test_type_message_and_place_keep_errors_apart() -> None:
    other = TRACE.replace("in charge", "in refund")
    faults = [
        Fault("OSError", "no file", TRACE),
        Fault("ValueError", "no file", TRACE),
        Fault("OSError", "no folder", TRACE),
        Fault("OSError", "no file", other),
        Fault("OSError", "no file"),
        None,
    ]
    assert len({fingerprint_of("exhausted", fault).digest for fault in faults}) == len(faults)


def test_the_reason_is_no_part_of_an_error_but_may_say_all() -> None:
    fault = Fault("OSError", "no file")
    one, other = (fingerprint_of(reason, fault) for reason in ("exhausted", "non_retryable"))
    assert one == other
    expired, poison = (fingerprint_of(reason, fault) for reason in ("expired", "poison"))
    assert expired == fingerprint_of("expired", None)
    assert expired.label == "expired"
    assert expired.digest != poison.digest


@pytest.mark.parametrize(
    ("trace", "frame"),
    [
        (TRACE, "charge in jobs.py"),
        (TRACE.replace("/srv/app/shop", "/other/host"), "charge in jobs.py"),
        (TRACE.replace("/srv/app/shop/", "C:\\\\app\\\\"), "charge in jobs.py"),
        ('  | File "/a/in_group.py", line 3, in each\n  |   raise\n', "each in in_group.py"),
        ('  File "/usr/lib/python3.11/json/decoder.py", line 3, in decode\n', ""),
        ('  File "uvloop/loop.pyx", line 2038, in create_connection\n', ""),
        ('  File "<frozen importlib>", line 3, in load\n', ""),
        ('  File "/a/b.py", line 3\n    def (\n', "b.py"),
        ("line 1", ""),
        ("", ""),
    ],
)
def test_the_last_frame_of_ones_own(trace: str, frame: str) -> None:
    assert own_frame(trace) == frame


def test_the_label_is_for_people_and_bounded() -> None:
    told = fingerprint_of("exhausted", Fault("Declined", "no money on card 4711", TRACE))
    assert told.label == "Declined: no money on card # (charge in jobs.py)"
    long = fingerprint_of("exhausted", Fault("E" * 200, "long " * 999 + "\0", TRACE * 9))
    assert len(long.label) <= MAX_LABEL
    assert long.label.endswith("(charge in jobs.py)")
    assert "\0" not in fingerprint_of("exhausted", Fault("E", "a\0b")).label


def test_of_an_encrypted_error_the_type_counts() -> None:
    one, other = (Data(msgspec.Raw(text), "aes256gcm:k") for text in (b'"x"', b'"y"'))
    found = {fingerprint_of("exhausted", Fault("E", "", encrypted=data)) for data in (one, other)}
    assert found == {fingerprint_of("exhausted", Fault("E", ""))}
    assert fingerprint_of("exhausted", Fault("F", "", encrypted=one)) not in found


@pytest.mark.parametrize("text", ["'", "a1", "1.", "0-", " |", "\n", ' File "', "\"'", "1e", "é1"])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    fingerprint_of("exhausted", Fault(text * 100, text * 50_000, text * 4000))
    assert time.process_time() - began < 5, "what backtracks would take hours"
