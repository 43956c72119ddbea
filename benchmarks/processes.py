"""Jobs that do nothing, each in a process of its worker: what the way there and back costs."""

import statistics

from millstream.core import codec
from millstream.core.events import JobSubmitted
from millstream.core.ids import new_ids
from millstream.core.queue import new_job

from .bench import NOOP_APP, QUEUE, Bench, stage
from .figures import Figure
from .jobs import finished_rates, records_after

COUNT = 6_000


async def noop() -> list[Figure]:
    """Jobs/s with one process and with two, their start included in neither."""
    rates = [await _rate(processes) for processes in (1, 2)]
    return [
        Figure("process executor, one process, no-op", rates[0], "jobs/s"),
        Figure("process executor, two processes, no-op", rates[1], "jobs/s"),
    ]


async def _rate(processes: int) -> float:
    async with stage() as bench:
        await _fill(bench)
        before = await bench.last_entry()
        target = await bench.seq() + 2 * COUNT
        with bench.role("worker", "--app", NOOP_APP, processes=processes, process_max_jobs=0):
            await bench.until_seq(target)
        return statistics.median(finished_rates(await records_after(bench, before, 2 * COUNT)))


async def _fill(bench: Bench) -> None:
    for _ in range(COUNT // 1000):
        jobs = [new_job(id, _SPEC) for id in new_ids(QUEUE, 1000)]
        await bench.queue.submit(jobs)


_SPEC = JobSubmitted("bench.process", payload=codec.wrap(7))
