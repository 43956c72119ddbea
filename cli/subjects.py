"""`millstream subjects`: erase what is encrypted for a person that jobs are about."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.config import Settings
from . import options
from .choices import by_options
from .client import REFUSED, Api, fail, url_option
from .output import print_json

if TYPE_CHECKING:
    from ..core.encryption import Secrets
    from ..projections.rotation import Rotated

FOUND = 1


@click.group("subjects")
def command() -> None:
    """Persons that jobs are about (their `subject`), and their right to be forgotten.

    \b
    millstream subjects erase customer-4711 --reason 'she asked us to'
    millstream subjects rotate-secret
    """


@command.command("erase")
@click.argument("subject")
@by_options
@url_option
def erase(subject: str, url: str, actor: str, reason: str) -> None:
    """Make unreadable, for good, what was encrypted for SUBJECT: payloads, results and errors.

    \b
    millstream subjects erase customer-4711 --reason 'she asked us to'
    """
    body = {"subject": subject, "actor": actor, "reason": reason}
    print_json(Api(url).post("/subjects/erase", body))


@command.command("rotate-secret")
@options.data_option
def rotate_secret(data: Path | None) -> None:
    """Wrap the keys of all subjects by MILLSTREAM_ERASURE_SECRET, which were wrapped by
    MILLSTREAM_ERASURE_OLD_SECRET.

    Both must be known to every API and worker already. Run it until it says `"rewrapped":0`; then
    the old one can be taken away. Reads and changes PostgreSQL and Redis, not over the API.

    Exit code 0: all keys are wrapped by the new one. 1: neither secret opens some of them. 2: it
    cannot be done so. 4: a server does not answer.

    \b
    millstream subjects rotate-secret
    """
    from ..core.encryption import Secrets

    with options.connected(options.load(), data) as settings:
        secrets = Secrets.of(settings.erasure_secret, settings.erasure_old_secret)
        if secrets is None or settings.erasure_old_secret is None:
            missing = "expected MILLSTREAM_ERASURE_SECRET, the new one, and"
            fail(f"{missing} MILLSTREAM_ERASURE_OLD_SECRET, the one before", REFUSED)
        told = asyncio.run(_rotate(settings, secrets))
    print_json(msgspec.json.encode(told._asdict()))
    sys.exit(FOUND if told.unreadable else 0)


async def _rotate(settings: Settings, secrets: Secrets) -> Rotated:
    from ..core.connection import connect
    from ..core.keys import Keys
    from ..core.subjects import SubjectKeys
    from ..projections import queries
    from ..projections.rotation import rotate

    redis = connect(settings.redis_url, timeout=settings.command_timeout)
    pool = await queries.connect(settings)
    try:
        return await rotate(pool, SubjectKeys(redis, Keys(settings.namespace)), secrets)
    finally:
        pool.terminate()
        await redis.aclose()
