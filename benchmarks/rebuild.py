"""How fast the archive becomes tables again, phase by phase, and what each side of it costs."""

import time

import asyncpg

from millstream.projections.migrations import migrate
from millstream.projections.rebuild.course import Course, Step
from millstream.projections.rebuild.upkeep import drop

from .bench import Bench, stage
from .figures import Figure
from .jobs import fill
from .project import projected, run_all
from .roles import projector

JOBS = 150_000


async def rebuilding() -> list[Figure]:
    """An archive of finished jobs, three events each, into tables; end to end, and the folding."""
    figures: list[Figure] = []
    async with stage() as bench:
        await migrate(bench.settings.postgres_dsn)
        await fill(bench, JOBS)
        await run_all(bench)
        events = await bench.seq()
        with projector(bench):
            await projected(bench, events)
        figures += [await _read_alone(bench, events)]
        for processes in (1, 2):
            spent = await _rebuild(bench, processes)
            name = f"rebuild, {processes} processes"
            figures += [
                Figure(name, events / sum(spent.values()), "events/s"),
                *(Figure(f"{name}: {phase}", part, "s") for phase, part in spent.items()),
            ]
            await drop(bench.settings, old=True)
    return figures


async def _rebuild(bench: Bench, processes: int) -> dict[str, float]:
    """Seconds of each phase."""
    spent: dict[str, float] = {}
    phase, since = "start", time.perf_counter()

    def tell(step: Step) -> None:
        nonlocal phase, since
        now = time.perf_counter()
        spent[phase] = spent.get(phase, 0) + now - since
        phase, since = step.phase, now

    await Course(bench.settings, tell, processes=processes, accept=False).run()
    return spent


async def _read_alone(bench: Bench, events: int) -> Figure:
    """What PostgreSQL gives of its archive in order, with nobody who takes it apart."""
    connection = await asyncpg.connect(bench.settings.postgres_dsn)
    begin = time.perf_counter()
    await connection.copy_from_query(
        "SELECT * FROM job_events ORDER BY partition, epoch, seq", output=_nowhere, format="binary"
    )
    spent = time.perf_counter() - begin
    await connection.close()
    return Figure("archive by COPY, read alone", events / spent, "events/s")


async def _nowhere(data: bytes) -> None:
    """Throw away what was read."""
