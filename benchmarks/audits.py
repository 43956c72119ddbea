"""What audits cost: sealing an archive, verifying it, and verifying the tables."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from millstream.core.proof.signing import PublicKeys, Signer
from millstream.core.proof.verifier import Verifier
from millstream.projections.connection import connect_once
from millstream.projections.migrations import migrate
from millstream.projections.proof.sealer import Sealer
from millstream.projections.proof.seals import seals
from millstream.projections.queries import archived_events
from millstream.projections.verify.report import Plan
from millstream.projections.verify.verifying import verify

from .bench import QUEUE, Bench, stage
from .figures import Figure
from .jobs import fill
from .project import projected, run_all
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
