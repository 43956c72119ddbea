"""What audits cost: sealing an archive, verifying it and the tables, and exports."""

import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from millstream.core.export import FORMATS, Format, Span
from millstream.core.proof.exports import read_events
from millstream.core.proof.heads import SignedHead
from millstream.core.proof.signing import PublicKeys, Signer
from millstream.core.proof.verifier import Verifier
from millstream.projections import queries
from millstream.projections.connection import connect_once
from millstream.projections.exporting import Exporter
from millstream.projections.migrations import migrate
from millstream.projections.proof.sealer import Sealer
from millstream.projections.proof.seals import seals
from millstream.projections.queries import archived_events
from millstream.projections.verify.report import Plan
from millstream.projections.verify.verifying import verify

from .bench import QUEUE, Bench, stage, timed
from .figures import Figure
from .jobs import fill
from .project import finished_log, projected, run_all
from .roles import projector

PRIVATE = Ed25519PrivateKey.generate()


async def sealing() -> list[Figure]:
    """An archive of finished jobs, three events each: sealed by one sealer, then verified."""
    async with stage() as bench:
        dsn = bench.settings.postgres_dsn
        await migrate(dsn)
        await fill(bench, 50_000)
        await run_all(bench)
        events = await bench.seq()
        with projector(bench):
            await projected(bench, events)
        sealer = Sealer(dsn, Signer(PRIVATE), segment=4096, interval=0)
        begin, cpu = time.perf_counter(), time.process_time()
        await sealer.turn()
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        sealer.close()
        verified = await _verified(bench, events)
        begin = time.perf_counter()
        outcome = await verify(dsn, Plan())
        tables = time.perf_counter() - begin
    assert outcome.sound, outcome.findings[:3]
    return [
        Figure("sealer", events / took, "events/s"),
        Figure("sealer, own CPU", cpu / events * 1e6, "µs/event"),
        Figure("verifier, own CPU", verified / events * 1e6, "µs/event"),
        Figure("verify, tables against archive", events / tables, "events/s"),
    ]


async def exports() -> list[Figure]:
    """The same archive written as files of each format, and held against its heads offline."""
    async with stage() as bench:
        events, heads = await _sealed(bench)
        figures: list[Figure] = []
        for format_ in FORMATS:
            folder = Path(bench.folder) / f"export-{format_}"
            wrote = await _exported(bench, folder, format_)
            with timed() as took:
                verifier = Verifier(heads, PublicKeys({Signer(PRIVATE).key: PRIVATE.public_key()}))
                for record in read_events(folder):
                    verifier.take(record)
                verdict = verifier.close()
            assert verdict.sound, verdict.findings[:3]
            assert verdict.proved == events, f"expected {events} proved, got {verdict.proved}"
            size = sum(file.stat().st_size for file in folder.iterdir())
            figures += [
                Figure(f"export, {format_}", events / wrote, "events/s"),
                Figure(f"export, {format_}, on disk", size / events, "bytes/event"),
                Figure(f"verify-export, {format_}", events / took[0], "events/s"),
            ]
        with timed() as took:
            outcome = await verify(bench.settings.postgres_dsn, Plan())
        assert outcome.sound, outcome.findings[:3]
        return [*figures, Figure("verify, all tables", events / took[0], "events/s")]


async def _sealed(bench: Bench) -> tuple[int, list[SignedHead]]:
    """An archive of finished jobs; how many events, and their heads."""
    dsn = bench.settings.postgres_dsn
    await migrate(dsn)
    events = await finished_log(bench, 50_000)
    with projector(bench):
        await projected(bench, events)
    sealer = Sealer(dsn, Signer(PRIVATE), segment=4096, interval=0)
    await sealer.turn()
    sealer.close()
    connection = await connect_once(dsn, timeout=60, role="bench")
    heads = [one async for one in seals(connection, QUEUE, leaves=True)]
    await connection.close()
    return events, heads


async def _exported(bench: Bench, folder: Path, format_: Format) -> float:
    """Write an export; the seconds it took."""
    pool = await queries.connect(bench.settings)
    exporter = Exporter(pool, bench.log, folder)
    with timed() as took:
        manifest = await exporter.open(format_, bench.settings.namespace, Span(), [QUEUE])
        await exporter.run(manifest)
    await pool.close()
    return took[0]


async def _verified(bench: Bench, events: int) -> float:
    """CPU seconds of verifying alone, the reading not counted."""
    connection = await connect_once(bench.settings.postgres_dsn, timeout=60, role="bench")
    keys = PublicKeys({Signer(PRIVATE).key: PRIVATE.public_key()})
    heads = [one async for one in seals(connection, QUEUE, leaves=True)]
    begin = time.process_time()
    verifier, spent, seq = Verifier(heads, keys), time.process_time() - begin, 0
    while records := await archived_events(connection, QUEUE, seq, 5000):
        begin = time.process_time()
        for record in records:
            verifier.take(record)
        spent += time.process_time() - begin
        seq = records[-1].seq
    verdict = verifier.close()
    await connection.close()
    assert verdict.sound, verdict.findings[:3]
    assert verdict.proved == events, f"expected {events} proved, got {verdict.proved}"
    return spent
