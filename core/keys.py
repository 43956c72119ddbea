"""Names of everything Millstream keeps in Redis.

All keys of a partition share one hash tag, ``{namespace:partition}``, so that they live in one
slot, move together and can be changed by one script. Today a queue is one partition, named as the
queue; a queue split later has partitions ``queue#1``, ``queue#2`` and so on.
"""

import re
import zlib
from typing import Final

from .errors import InvalidName

PRIORITIES: Final = range(10)
"""Priorities a job may have; 0 is served first."""

GROUP: Final = "workers"
"""The consumer group on every ready stream."""

JOINERS: Final = "joiners"
"""That on every outbox."""

_QUEUE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SCHEDULE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:-]{0,127}")
_JOB_TYPE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}")
_LIMIT_KEY = re.compile(r"[a-zA-Z0-9._:/@+-]{1,128}")


def check_queue(name: str) -> str:
    """Return `name` if it is a valid queue name, else raise InvalidName."""
    if not _QUEUE.fullmatch(name):
        raise InvalidName("queue name", name, "1 to 63 of a-z 0-9 . _ - starting with a-z or 0-9")
    return name


def check_job_type(name: str) -> str:
    """Return `name` if it is a valid job type, else raise InvalidName."""
    if not _JOB_TYPE.fullmatch(name):
        raise InvalidName(
            "job type", name, "1 to 128 of a-z A-Z 0-9 . _ : / - starting with a letter or digit"
        )
    return name


def check_limit_key(what: str, name: str) -> str:
    """Return `name` if limits can be kept by it, else raise InvalidName, which calls it `what`."""
    if not _LIMIT_KEY.fullmatch(name):
        raise InvalidName(what, name, "1 to 128 of a-z A-Z 0-9 . _ : / @ + -")
    return name


def check_schedule(name: str) -> str:
    """Return `name` if it is a valid name of a schedule, else raise InvalidName."""
    if not _SCHEDULE.fullmatch(name):
        raise InvalidName(
            "schedule", name, "1 to 128 of a-z A-Z 0-9 . _ : - starting with a letter or digit"
        )
    return name


def partition_code(partition: str) -> int:
    """24 bits that stand for a partition; every job id ends in the code of its partition."""
    return zlib.crc32(partition.encode()) & 0xFFFFFF


class Keys:
    """The keys of one namespace. Partition keys are built from `base` inside the Lua verbs."""

    __slots__ = ("namespace",)

    def __init__(self, namespace: str = "ms") -> None:
        self.namespace = namespace

    @property
    def queues(self) -> str:
        """Set of all partitions ever used."""
        return f"{self.namespace}:queues"

    @property
    def types(self) -> str:
        """Hash: job type → what workers announced of it (JSON), over all queues."""
        return f"{self.namespace}:types"

    @property
    def workers(self) -> str:
        """Set of workers that reported and did not leave."""
        return f"{self.namespace}:workers"

    def worker(self, name: str) -> str:
        """The last report of a worker (JSON), for a day."""
        return f"{self.namespace}:worker:{name}"

    def takes(self, digest: str) -> str:
        """The shapes of the payloads that workers take (JSON), by the digest of that text."""
        return f"{self.namespace}:takes:{digest}"

    def request(self, digest: str) -> str:
        """What was agreed on a request that a client has a key for."""
        return f"{self.namespace}:idempotency:{digest}"

    @property
    def subjects(self) -> str:
        """Hash: subject (its digest) → the id of its key."""
        return f"{self.namespace}:subjects"

    @property
    def subject_keys(self) -> str:
        """Hash: key id → the key of a subject, wrapped; empty: erased."""
        return f"{self.namespace}:subject_keys"

    @property
    def schedules(self) -> str:
        """Hash: schedule → the partition it lives in."""
        return f"{self.namespace}:schedules"

    @property
    def scheduled(self) -> str:
        """Set of the partitions that ever had a schedule: others need not be asked."""
        return f"{self.namespace}:scheduled"

    @property
    def linked(self) -> str:
        """Set of the partitions that ever had jobs that wait for others, or that are waited for."""
        return f"{self.namespace}:linked"

    def base(self, partition: str) -> str:
        """Prefix of all keys of a partition; the one key given to every verb."""
        return f"{{{self.namespace}:{partition}}}"

    def log(self, partition: str) -> str:
        """Stream of the partition's events."""
        return f"{self.base(partition)}:log"

    def lost(self, partition: str) -> str:
        """What is left of a log that has gone back, while the partition is being restored."""
        return f"{self.base(partition)}:lost"

    def ready(self, partition: str, priority: int) -> str:
        """Stream of the jobs of one priority that may run now."""
        return f"{self.base(partition)}:ready:{priority}"

    def job(self, partition: str, job: str) -> str:
        """Hot state of a live job: header and spec."""
        return f"{self.base(partition)}:job:{job}"

    def once(self, partition: str, command: str) -> str:
        """What a submission was answered, by its command."""
        return f"{self.base(partition)}:once:{command}"

    def steps(self, partition: str, job: str) -> str:
        """Hash: step of a live job → body of its job.checkpointed; only of jobs with steps."""
        return f"{self.base(partition)}:steps:{job}"

    def due(self, partition: str) -> str:
        """Sorted set of jobs that wait for a time, by that time (ms)."""
        return f"{self.base(partition)}:due"

    def bell(self, partition: str) -> str:
        """List that holds at most one token: there is something to claim."""
        return f"{self.base(partition)}:bell"

    def meta(self, partition: str) -> str:
        """Hash of the partition itself: epoch, seq, archived, lanes, mode."""
        return f"{self.base(partition)}:meta"

    def serving(self, partition: str) -> str:
        """Set of workers that came to this partition, and neither left nor were lost."""
        return f"{self.base(partition)}:serving"

    def limits(self, partition: str) -> str:
        """Hash: limit → its bound; the fields are in lua/includes/gates.lua."""
        return f"{self.base(partition)}:limits"

    def announced(self, partition: str) -> str:
        """Hash: job type → defaults (JSON), of all types workers ever announced here."""
        return f"{self.base(partition)}:types"

    def parents(self, partition: str, job: str) -> str:
        """Set of the jobs that a job waits for; `open` among them: there may be more to come."""
        return f"{self.base(partition)}:parents:{job}"

    def leaving(self, partition: str, job: str) -> str:
        """Set of the very many jobs that one waits for no more, until they are told so."""
        return f"{self.base(partition)}:leaving:{job}"

    def awaited(self, partition: str, job: str) -> str:
        """Set of the jobs that wait for a job, in whatever partition."""
        return f"{self.base(partition)}:awaited:{job}"

    def dependents(self, partition: str) -> str:
        """Sorted set of the jobs that wait for others, by when they were last seen to (ms)."""
        return f"{self.base(partition)}:dependents"

    def outbox(self, partition: str) -> str:
        """Stream: how jobs ended that others wait for, until those were told."""
        return f"{self.base(partition)}:ended"

    def schedule(self, partition: str, name: str) -> str:
        """Hash: a schedule and where it stands; without a spec, what is left of a deleted one."""
        return f"{self.base(partition)}:schedule:{name}"

    def schedule_due(self, partition: str) -> str:
        """Sorted set of schedules by when they are to be looked at next (ms)."""
        return f"{self.base(partition)}:schedule_due"

    def partition_of(self, log_key: str) -> str:
        """The partition whose log this key is; the inverse of `log`."""
        return log_key[len(self.namespace) + 2 : -len("}:log")]
