"""What it costs the API to hold payloads against the types that handlers declare.

Four API processes are given the same jobs in turns. What counts is their processor time per job.
"""

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from msgspec import Struct

from millstream.core.keys import Keys
from millstream.core.shapes import digest_of, document_of
from millstream.core.workers import Report, Workers
from millstream.projections.migrations import migrate

from .bench import QUEUE, Bench, stage, threads_seconds
from .figures import Figure
from .http_load import bulk, singles
from .roles import free_port

TURNS = 9
BATCHES, SIZE = 20, 1000
SINGLES, CONNECTIONS = 4000, 64


class Mail(Struct, forbid_unknown_fields=True):
    """The payload of each job."""

    to: str
    subject: str
    text: str


class Case(NamedTuple):
    """What workers say; the namespace it is said in."""

    namespace: str
    what: str
    types: Mapping[str, Any]
    checked: bool = True


CASES = (
    Case("off", "switched off", {"bench.noop": Mail}, checked=False),
    Case("none", "no type declared", {"bench.noop": Any}),
    Case("other", "another type declared", {"bench.noop": Any, "mail": Mail}),
    Case("own", "its type declared", {"bench.noop": Mail}),
)


async def checking() -> list[Figure]:
    """Processor time of the API per job, one by one and in bulk."""
    alone: dict[str, list[float]] = {case.what: [] for case in CASES}
    many: dict[str, list[float]] = {case.what: [] for case in CASES}
    async with stage() as bench:
        await migrate(bench.settings.postgres_dsn)
        with ExitStack() as stack:
            running = [(case, *_api(bench, case, stack)) for case in CASES]
            for turn in range(TURNS + 1):
                for case, port, pid in running if turn % 2 else running[::-1]:
                    await _say(bench, case)
                    begin = threads_seconds(pid)
                    await singles(port, CONNECTIONS, SINGLES)
                    middle = threads_seconds(pid)
                    await bulk(port, BATCHES, SIZE)
                    if turn:  # the first one warms up
                        alone[case.what].append((middle - begin) / SINGLES)
                        many[case.what].append((threads_seconds(pid) - middle) / (BATCHES * SIZE))
    return [
        Figure(f"API CPU, {how}, {what}", statistics.median(found) * 1e6, "µs/job")
        for how, costs in (("one by one", alone), ("in bulk", many))
        for what, found in costs.items()
    ]


def _api(bench: Bench, case: Case, stack: ExitStack) -> tuple[int, int]:
    """Its port and pid."""
    port = free_port()
    role = bench.role(
        "api", "--port", str(port), namespace=case.namespace, check_payloads=case.checked
    )
    return port, stack.enter_context(role).pid


async def _say(bench: Bench, case: Case) -> None:
    """Report as a worker that knows these types."""
    takes = document_of(case.types)
    report = Report("bench", "h", 1, 0, [QUEUE], sorted(case.types), 1, takes=digest_of(takes))
    await Workers(bench.redis, Keys(case.namespace)).report(report, takes)
