"""What the auditor last said. Errors: Unavailable."""

from typing import Any

import msgspec

from ..connection import translated
from ..statements import statement

_examples = msgspec.json.Decoder(dict[str, dict[str, str]]).decode


class PartitionAudit(msgspec.Struct):
    """What was seen of one partition's live jobs.

    checked_at  ms since 1970 when the auditor last said so
    jobs        live ones in the last whole round
    lost, doubled, stuck  how many; `examples`: kind → job → why, the first of each
    """

    partition: str
    checked_at: int
    jobs: int
    lost: int
    doubled: int
    stuck: int
    examples: dict[str, dict[str, str]]

    @property
    def sound(self) -> bool:
        """Whether every job is going somewhere."""
        return not (self.lost or self.doubled or self.stuck)


async def audits(connection: Any) -> list[PartitionAudit]:
    """All partitions that were audited, by name."""
    with translated():
        rows = await connection.fetch(statement("conservation"))
    return [_audit(row) for row in rows]


def _audit(row: Any) -> PartitionAudit:
    partition, checked_at, jobs, lost, doubled, stuck, examples = row
    return PartitionAudit(partition, checked_at, jobs, lost, doubled, stuck, _examples(examples))
