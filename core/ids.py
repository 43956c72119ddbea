"""Job ids: UUIDv7 whose last 24 bits name the partition the job lives in.

So the place of a job's hot state follows from its id alone, without a directory of ids. The other
50 bits begin at random in each millisecond and rise by random steps within it, so that the ids one
process makes are in the order they were made. Those of several processes collide in one millisecond
of one partition with a chance of about 2^-26 even after thousands of ids; the submit verb refuses
the second of two equal ids.
"""

import os
import time
import uuid
from collections.abc import Iterator

from .keys import partition_code

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_HIGH = 0xFFF << 38
_LOW = (1 << 38) - 1
_END = 1 << 50

_BACK = 1000
"""Milliseconds the clock may step back before ids follow it."""

_last = (0, 0)
"""Millisecond and 50 bits of the last id made in this process."""


def new_ids(partition: str, count: int) -> Iterator[str]:
    """Make `count` job ids for `partition`, each greater than all this process made before."""
    global _last
    fixed = _VERSION | _VARIANT | partition_code(partition)
    stamp, bits = _last
    now = time.time_ns() // 1_000_000
    if not now <= stamp <= now + _BACK:
        stamp, bits = now, _fresh()
    noise = os.urandom(4 * count)
    for start in range(0, 4 * count, 4):
        bits += 1 + int.from_bytes(noise[start : start + 4], "big")
        if bits >= _END:
            stamp, bits = stamp + 1, _fresh()
        _last = stamp, bits
        value = stamp << 80 | fixed | (bits & _HIGH) << 26 | (bits & _LOW) << 24
        digits = f"{value:032x}"
        yield f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _fresh() -> int:
    """Where a millisecond begins: anywhere in the lower half, so that thousands fit above."""
    return int.from_bytes(os.urandom(7), "big") & (_END // 2 - 1)


def new_id(partition: str) -> str:
    """Make one job id for `partition`."""
    return next(new_ids(partition, 1))


def derived_id(partition: str, ms: int, seed: str) -> str:
    """The id that stands for a digest (hexadecimal), always the same; `ms` since 1970: of when."""
    bits = int(seed[:13], 16) & (_END - 1)
    fixed = _VERSION | _VARIANT | partition_code(partition)
    return str(uuid.UUID(int=ms << 80 | fixed | (bits & _HIGH) << 26 | (bits & _LOW) << 24))


def code_of(job: str) -> int:
    """The partition code a job id ends in."""
    return int(job[-6:], 16)


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id made here: a canonical UUIDv7."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return False
    return value.version == 7 and str(value) == text
