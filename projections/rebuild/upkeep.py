"""What is left of rebuilds: given up, or dropped when it is no longer needed."""

from ...core.config import Settings
from ..connection import translated
from .course import take_lock
from .shard import hands


async def drop(settings: Settings, *, old: bool, projection: str = "") -> str:
    """Drop the old tables, or what an unfinished rebuild has made; says what was done."""
    async with hands(settings.postgres_dsn, projection) as found:
        with translated():
            await take_lock(found.keeper, found.shadow)
            if old:
                dropped = await found.shadow.drop_old(found.reader)
                return "dropped the old tables" if dropped else "there are no old tables"
            begun = await found.shadow.exists(found.reader)
            await found.shadow.drop(found.reader)
            return "dropped the unfinished rebuild" if begun else "there is no unfinished rebuild"
