"""The hot state of a live job as Redis holds it: a header of fixed width, then the spec.

The layout is that of lua/includes/header.lua. A claim does not write it: a queued job whose ready
entry is pending is running, one version and one attempt further than its header says.
"""

import struct

import msgspec

from .events import JobSubmitted
from .jobs import JobState

_HEADER = struct.Struct(">BBBHIIIQ28s")
_unpack = _HEADER.unpack_from
_STEPS = 8
_DEPENDENT = 6
EPOCH = 2**32
"""Fencing tokens of an epoch are by so much higher than those of the one before, whatever was given
in that one and is not known any more. A token is exact as a float of 64 bits up to epoch 2**21."""
_spec = msgspec.json.Decoder(JobSubmitted).decode

STATES = {
    1: JobState.SCHEDULED,
    2: JobState.QUEUED,
    3: JobState.BLOCKED,
    4: JobState.RUNNING,
    5: JobState.RETRYING,
    6: JobState.BLOCKED,
}


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A job given to a worker, and the right to say what becomes of it.

    fence     the fencing token: higher for every later lease of the same job; may be handed to
              other systems so that they refuse a worker that was overtaken
    attempt   number of this attempt, from 1
    crashes   leases of this job that expired before
    now       when it was given, ms since 1970 by the server's clock
    spec      body of its job.submitted event, not decoded yet
    steps     earlier runs of the job have kept steps
    """

    partition: str
    id: str
    fence: int
    attempt: int
    crashes: int
    now: int
    spec: bytes
    steps: bool = False

    def decode(self) -> JobSubmitted:
        """The spec. Raises msgspec.MsgspecError if a later release wrote what this cannot read."""
        return _spec(self.spec)


class HotJob(msgspec.Struct, frozen=True):
    """A live job as its hot state tells it, before any table does."""

    id: str
    state: JobState
    version: int
    attempt: int
    crashes: int
    cancel_requested: bool
    spec: JobSubmitted
    depends: bool = False
    """It waits for other jobs."""


def token(epoch: int, version: int) -> int:
    """The fencing token of the lease that the job.started of that epoch and version gave."""
    return (epoch - 1) * EPOCH + version


def read_lease(partition: str, job: str, raw: bytes, now: int, epoch: int = 1) -> Lease:
    """The lease a claim gave, from the hot state it found."""
    _, _, flags, crashes, attempt, _, fence, _, _ = _unpack(raw)
    spec = raw[_HEADER.size :]
    fence = token(epoch, fence)
    return Lease(partition, job, fence, attempt + 1, crashes, now, spec, flags & _STEPS != 0)


def read_job(job: str, raw: bytes) -> HotJob:
    """A live job from its hot state."""
    state, _, flags, crashes, attempt, version, _, _, _ = _unpack(raw)
    return HotJob(
        id=job,
        state=STATES[state],
        version=version,
        attempt=attempt,
        crashes=crashes,
        cancel_requested=bool(flags & 1),
        spec=_spec(raw[_HEADER.size :]),
        depends=state == _DEPENDENT,
    )
