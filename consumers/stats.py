"""What a worker counts, for logs, tests and benchmarks."""

import time
from collections import Counter

import msgspec


class Stats(msgspec.Struct):
    """Counters since the worker's start.

    claimed     leases taken, among them `recovered`: those of a claim whose reply was lost
    verdicts    given (not yet accepted), by name: succeeded, retry, failed, snoozed, released,
                cancelled, crashed
    accepted    verdicts the log took
    refused     verdicts that came from an overtaken lease
    unsure      refused when sent again after an unknown outcome: most were accepted before
    dropped     verdicts that could not be sent at all
    lost        leases lost while the handler ran
    claims, finishes   calls made
    progress    when the fetch loop last went round (`time.monotonic`)
    """

    claimed: int = 0
    recovered: int = 0
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    accepted: int = 0
    refused: int = 0
    unsure: int = 0
    dropped: int = 0
    lost: int = 0
    claims: int = 0
    finishes: int = 0
    progress: float = msgspec.field(default_factory=time.monotonic)
