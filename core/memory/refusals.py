"""What a verb is given that it cannot be: refused before anything is done, as by the scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args

from redis.exceptions import ResponseError

from ..operating import Mode
from ..queue import Finish, Redrive, Verdict
from ..submitting import NewJob

_RATE = re.compile(r"[1-9]\d* [1-9]\d* \{.*\}")
_COUNT = re.compile(r"[1-9]\d*")
_CURSOR = re.compile(r"|(due|parked|dependent|ready):\d+")
_TIME = re.compile(r"\+\d+|-?\d+")
_MOST = 2**53


def _invalid(what: str, given: object) -> ResponseError:
    return ResponseError(f"INVALID {what}: {given}")


def check_verdicts(verdicts: Sequence[Finish]) -> None:
    """Raises for a verdict or a delay that is none."""
    for one in verdicts:
        if one.verdict not in get_args(Verdict) or not isinstance(one.delay_ms, int):
            given = f"{one.verdict} with delay {one.delay_ms}"
            raise _invalid(f"verdict on job {one.id}", given)


def check_dues(jobs: Sequence[NewJob]) -> None:
    """Raises for a run time that is none."""
    for job in jobs:
        if job.spec.run_at is not None and not isinstance(job.spec.run_at, int):
            raise _invalid(f"due of job {job.id}", job.spec.run_at)


def check_delays(jobs: Sequence[Redrive]) -> None:
    """Raises for a delay that is none."""
    for job in jobs:
        if not isinstance(job.delay_ms, int) or not 0 <= job.delay_ms <= 2**52:
            raise _invalid("delay in ms", job.delay_ms)


def check_time(due: int | str) -> None:
    """Raises for a time that is none, named or from now on."""
    if not _TIME.fullmatch(str(due)) or abs(int(due)) > _MOST:
        raise _invalid("time to run", due)


def check_mode(mode: Mode) -> None:
    """Raises for a mode that is none."""
    if mode not in get_args(Mode):
        raise _invalid("mode", mode)


def check_bounds(bounds: Mapping[str, str]) -> None:
    """Raises for a bound that is none."""
    for limit, bound in bounds.items():
        shape = _RATE if limit.startswith("r") else _COUNT
        if bound and not shape.fullmatch(bound):
            raise _invalid(f"bound of {limit}", bound)


def check_cursor(cursor: str) -> None:
    """Raises for a cursor that no purge gave."""
    if not _CURSOR.fullmatch(cursor):
        raise _invalid("cursor", cursor)
