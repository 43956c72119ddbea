"""What waiting for others costs: batches of children with a job that follows, beside plain jobs."""

import statistics

import anyio

from millstream.core import codec
from millstream.core.events import JobClosed, JobSubmitted, body_of
from millstream.core.ids import new_id, new_ids
from millstream.core.queue import CHEAP_BATCH, NewJob

from .bench import NOOP_APP, QUEUE, Bench, stage
from .figures import Figure
from .jobs import PAYLOAD, finished_rates, records_until
from .work import CONCURRENCY

SIZES = (1_000, 10_000, 100_000)
TYPE = "bench.noop"
EXTENSION = 1000


async def batches() -> list[Figure]:
    """Batches of each size, and as many plain jobs: jobs/s of a worker, Redis CPU per job."""
    found: list[Figure] = []
    for size in SIZES:
        found += await _batch(size)
    return found + await _plain(SIZES[-1])


async def _batch(size: int) -> list[Figure]:
    async with stage() as bench:
        cpu = bench.valkey_cpu()
        last = await _fill(bench, size)
        submitted = bench.valkey_cpu() - cpu
        await bench.at_rest()
        rate, ran = await _run(bench, size, last)
    name = f"flows, {size:_} children".replace("_", " ")
    return [
        Figure(f"{name}: run", rate, "jobs/s"),
        Figure(f"{name}: Redis CPU of submitting", submitted / size * 1e6, "µs/job"),
        Figure(f"{name}: Redis CPU of running and joining", ran / size * 1e6, "µs/job"),
    ]


async def _plain(size: int) -> list[Figure]:
    async with stage() as bench:
        cpu = bench.valkey_cpu()
        await _submit(bench, size, "", None)
        submitted = bench.valkey_cpu() - cpu
        await bench.at_rest()
        rate, ran = await _run(bench, size, "")
    return [
        Figure("flows, none: run", rate, "jobs/s"),
        Figure("flows, none: Redis CPU of submitting", submitted / size * 1e6, "µs/job"),
        Figure("flows, none: Redis CPU of running", ran / size * 1e6, "µs/job"),
    ]


async def _run(bench: Bench, size: int, last: str) -> tuple[float, float]:
    """Jobs/s of the children, and Redis CPU until the job that follows has ended."""
    before, cpu = await bench.last_entry(), bench.valkey_cpu()
    with bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY):
        records = await records_until(bench, before, size)
        with anyio.fail_after(60):
            while last and await bench.queue.job(last) is not None:
                await anyio.sleep(0.01)
    return statistics.median(finished_rates(records)), bench.valkey_cpu() - cpu


async def _fill(bench: Bench, size: int) -> str:
    """An open flow, its children in parts as a client would send them, closed; the last job."""
    await bench.directory.register(QUEUE)
    last = new_id(QUEUE)
    spec = JobSubmitted(TYPE, on_parent_failure="fail", flow=last, open=True)
    await bench.queue.submit([NewJob(last, spec, body_of(spec))])
    await _submit(bench, size, last, last)
    await bench.queue.extend(last, [], {}, JobClosed())
    return last


async def _submit(bench: Bench, size: int, dependent: str, flow: str | None) -> None:
    spec = JobSubmitted(TYPE, flow=flow, payload=codec.wrap(PAYLOAD))
    body, before = body_of(spec), [dependent] if dependent else []
    ids = list(new_ids(QUEUE, size))
    for first in range(0, size, CHEAP_BATCH):
        part = ids[first : first + CHEAP_BATCH]
        await bench.queue.submit([NewJob(id, spec, body, before=before) for id in part])
    for first in range(0, size if dependent else 0, EXTENSION):
        await bench.queue.extend(dependent, ids[first : first + EXTENSION], {})
