"""What the continuous audit costs the projector: with and without it, in turns, within one run."""

import statistics

from millstream.core.events import JobSubmitted, body_of
from millstream.core.ids import new_ids
from millstream.core.queue import CHEAP_BATCH, NewJob
from millstream.projections.migrations import migrate

from .bench import Bench, process_seconds, stage
from .figures import Figure
from .jobs import fill
from .project import projected, run_all
from .roles import projector

WAITING = 20_000
"""Live jobs of another queue, which the audit goes round all the time."""

JOBS = 40_000
"""Finished in each turn, three events each."""

ROUNDS = 3
RATES = (0, 500, 5000)
"""Live jobs looked after each second; 0: no audit; 500 is the default."""


async def cost() -> list[Figure]:
    """A backlog is projected with each rate, in turns, so that what the machine does meanwhile
    falls on all of them."""
    cpu: dict[int, list[float]] = {rate: [] for rate in RATES}
    pace: dict[int, list[float]] = {rate: [] for rate in RATES}
    async with stage() as bench:
        await migrate(bench.settings.postgres_dsn)
        await _wait_elsewhere(bench)
        for number in range(ROUNDS):
            for rate in RATES[number:] + RATES[:number]:
                await fill(bench, JOBS)
                await run_all(bench)
                target = await bench.seq()
                with bench.role("projector", audit_rate=rate) as process:
                    begin = process_seconds(process.pid)
                    pace[rate].append(await projected(bench, target))
                    spent = process_seconds(process.pid) - begin
                cpu[rate].append(spent / (3 * JOBS) * 1e6)
    none, paced = statistics.median(cpu[0]), statistics.median(pace[0])
    figures = [
        Figure("projector without the audit, own CPU", none, "µs/event"),
        Figure("projector without the audit", paced, "events/s"),
    ]
    for rate in RATES[1:]:
        more = statistics.median(cpu[rate]) / none - 1
        slower = 1 - statistics.median(pace[rate]) / paced
        name = f"audit of {rate}/s, projector's"
        figures += [
            Figure(f"{name} CPU more by", more * 100, "%", 10, at_least=False),
            Figure(f"{name} pace less by", slower * 100, "%", 10, at_least=False),
        ]
    return figures


async def _wait_elsewhere(bench: Bench) -> None:
    """Jobs that live through all of it, in a queue of their own, and are in the tables already."""
    await bench.directory.register("waiting")
    queue = bench.directory.queue("waiting")
    spec = JobSubmitted(type="bench.noop")
    body = body_of(spec)
    for _ in range(0, WAITING, CHEAP_BATCH):
        await queue.submit([NewJob(job, spec, body) for job in new_ids("waiting", CHEAP_BATCH)])
    with projector(bench):
        await projected(bench, (await bench.log.head("waiting")).seq, "waiting")
