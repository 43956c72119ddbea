"""Job ids: UUIDv7 whose last 24 bits name the partition the job lives in.

So the place of a job's hot state follows from its id alone, without a directory of ids. The other
50 random bits, in one millisecond of one partition, make a collision a matter of 2^-26 even after
thousands of ids; the submit verb refuses the second of two equal ids.
"""

import os
import time
import uuid
from collections.abc import Iterator

from .keys import partition_code

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = ((1 << 38) - 1) << 24


def new_ids(partition: str, count: int) -> Iterator[str]:
    """Make `count` job ids for `partition`."""
    code = partition_code(partition)
    stamp = (time.time_ns() // 1_000_000) << 80
    fixed = stamp | _VERSION | _VARIANT | code
    noise = os.urandom(7 * count)
    for start in range(0, 7 * count, 7):
        bits = int.from_bytes(noise[start : start + 7], "big")
        digits = f"{fixed | (bits << 24 & _RANDOM_B) | (bits << 26 & _RANDOM_A):032x}"
        yield f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_id(partition: str) -> str:
    """Make one job id for `partition`."""
    return next(new_ids(partition, 1))


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
