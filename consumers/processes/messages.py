"""What a worker and a process of its say to each other: frames of four bytes of length, then
msgpack. Nothing in them can run code, on either side."""

import struct
from collections.abc import Iterator, Sequence

import msgspec

from ...core.config import Settings
from ...core.hot import Lease
from ...core.queue import Verdict

_LENGTH = struct.Struct(">I")


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first word to a process: the apps to load, found as the worker finds them.

    worker  process id of the worker
    path    its `sys.path`
    """

    apps: Sequence[str]
    path: Sequence[str]
    settings: Settings
    worker: int


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run the job of a lease, whose `now` is that of this moment."""

    lease: Lease


class Halt(msgspec.Struct, frozen=True, tag=True):
    """Have what runs come to an end; the process is killed soon."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The apps are loaded."""


class Unfit(msgspec.Struct, frozen=True, tag=True):
    """The apps could not be loaded."""

    why: str


class Begun(msgspec.Struct, frozen=True, tag=True):
    """The job is what runs from now on: if the process dies now, the job may be why."""


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The verdict, as `Finish` has it; `memory`: resident bytes of the process, 0: not measured."""

    verdict: Verdict
    body: bytes
    delay_ms: int = 0
    end: bytes = b""
    memory: int = 0


ToChild = Hello | Run | Halt
ToWorker = Ready | Unfit | Begun | Ended

_encode = msgspec.msgpack.Encoder().encode
to_child = msgspec.msgpack.Decoder(ToChild).decode
to_worker = msgspec.msgpack.Decoder(ToWorker).decode


def framed(message: ToChild | ToWorker) -> bytes:
    """A message as it goes over a pipe."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Takes bytes as they come, and gives the bodies of the frames that are whole."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are whole by now."""
        held = self._bytes
        held += data
        at, head = 0, _LENGTH.size
        while len(held) - at >= head:
            (length,) = _LENGTH.unpack_from(held, at)
            if len(held) - at - head < length:
                break
            yield bytes(held[at + head : at + head + length])
            at += head + length
        del held[:at]
