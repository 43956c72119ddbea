"""Ports of loopback for tests that name one before anybody listens there, or where nobody does."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager

from millstream.core.embedded.ports import LOOPBACK, is_free

_RANGES, _SIZE = 1000, 10
_numbers = itertools.count()


def coming_port() -> int:
    """A port that a process binds later.

    Below those that the kernel gives away by itself: until then no other test is given it.
    """
    first = 20_000 + os.getpid() % _RANGES * _SIZE
    return next(port for number in _numbers if is_free(port := first + number % _SIZE))


@contextmanager
def deaf_port() -> Generator[int]:
    """A port at which everybody is refused meanwhile: it is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield taken.getsockname()[1]
