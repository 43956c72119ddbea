"""The role `sealer`: one process that seals the archive and tells the heads."""

import asyncio
import contextlib
import signal
from pathlib import Path

import structlog
import uvloop

from ...core import logs, ready
from ...core.config import Settings
from ...core.errors import ConfigError, MillstreamError
from ...core.proof.signing import Signer, read_signer
from .sealer import Sealer
from .telling import Teller

log = structlog.get_logger("millstream.sealer")


def serve(settings: Settings) -> None:
    """Seal until SIGTERM or SIGINT. Raises ConfigError if there is no usable key."""
    logs.configure(settings.log_level, settings.log_format, role="sealer")
    ready.follow_supervisor()
    if settings.proof_key is None:
        raise ConfigError("MILLSTREAM_PROOF_KEY", "the file of a key, see proof-key", None)
    signer = read_signer(Path(settings.proof_key))
    uvloop.run(_until_stopped(settings, signer))


async def _until_stopped(settings: Settings, signer: Signer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await seal(settings, signer, stop)


async def seal(settings: Settings, signer: Signer, stop: asyncio.Event) -> None:
    """Seal until `stop` is set, whatever becomes of the database."""
    sealer = Sealer(
        settings.postgres_dsn, signer, segment=settings.proof_segment,
        interval=settings.proof_interval,
    )  # fmt: skip
    tellers = [Teller(target) for target in settings.proof_heads]
    log.info("sealer.signs", key=signer.key)
    try:
        while not stop.is_set():
            await _turn(sealer, tellers)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(settings.sweep, settings.proof_interval))
    finally:
        sealer.close()


async def _turn(sealer: Sealer, tellers: list[Teller]) -> None:
    try:
        await sealer.turn()
        ready.notify_ready()
        for teller in tellers:
            await teller.turn(await sealer.open())
    except MillstreamError as error:
        log.warning("sealer.waits", reason=str(error))
    except Exception:
        sealer.close()
        log.exception("sealer.failed")
