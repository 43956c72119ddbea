"""The envelope of an event: who, where and when; and how it is written."""

import msgspec

from .base import Event


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a log: the envelope, and the body as the bytes that were written.

    seq      contiguous per partition, from 1
    epoch    of the partition's log; rises when a log is restored after a loss
    job      job id, or "" for events of the queue itself and of workers
    version  contiguous per job, from 1; 0 where there is no job
    time     ms since 1970 by the server's clock: the stream id's first part
    entry    the stream id
    """

    partition: str
    seq: int
    epoch: int
    type: str
    job: str
    version: int
    body: bytes
    time: int
    entry: str

    @property
    def position(self) -> str:
        """Where in all logs this event stands: ``partition:epoch:seq``."""
        return position(self.partition, self.epoch, self.seq)


def position(partition: str, epoch: int, seq: int) -> str:
    """Write a position; opaque to clients."""
    return f"{partition}:{epoch}:{seq}"


def parse_position(text: str) -> tuple[str, int, int]:
    """Read a position: partition, epoch, seq. Raises ValueError."""
    try:
        partition, epoch, seq = text.split(":")
        return partition, int(epoch), int(seq)
    except ValueError:
        raise ValueError(f"expected a position such as 'default:1:42', got {text!r}") from None


def body_of(event: Event) -> bytes:
    """Encode an event's body for the log; from schema 2 on it says which it is, in ``_v``."""
    body = msgspec.json.encode(event)
    if event.schema > 1:
        mark = b'{"_v":%d' % event.schema
        return mark + b"}" if body == b"{}" else mark + b"," + body[1:]
    return body
