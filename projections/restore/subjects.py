"""Keys of persons that jobs are about, as PostgreSQL has them: a Redis that went back may lack
some, and hold others that were erased since, or that are wrapped with a secret of before."""

from typing import Any

from ...core.encryption import NAMES
from ...core.subjects import SubjectKeys
from .. import subject_keys

PAGE = 1000


async def publish(connection: Any, keys: SubjectKeys) -> None:
    """Give all keys to Redis again, and the mark of erasure of those that were erased."""
    after = ""
    while page := await subject_keys.live(connection, after, PAGE):
        live = [key for key in page if key.id != NAMES]
        if live:
            await keys.publish(live)
            await keys.rewrap(live)
        after = page[-1].id
    after = ""
    while erased := await subject_keys.erased(connection, after, PAGE):
        await keys.mark_erased(erased)
        after = erased[-1]
    await keys.forget_erased()
