"""What the faces of a partition's verbs have in common: each subject has a class, `queue` all."""

from typing import Any

from .keys import Keys


class Face:
    """Verbs of one subject; `PartitionQueue`, which has them all, says how a verb is run."""

    __slots__ = ()

    _redis: Any
    _keys: Keys
    partition: str

    async def _run(self, verb: str, args: list[Any]) -> Any:
        raise NotImplementedError
