"""The verbs of threads: leases are renewed, and verdicts given, whatever the event loop does."""

from collections.abc import Sequence
from typing import Any

from redis import exceptions

from .connection import translated
from .keys import Keys
from .queue import MAX_BATCH, Finish, finish_args
from .scripts import script


class LeaseRenewer:
    """The verbs for threads: `renew` keeps leases alive while handlers run, and `finish` is there
    for a worker whose event loop is dead."""

    def __init__(self, redis: Any, keys: Keys, worker: str) -> None:
        self._redis = redis
        self._keys = keys
        self._worker = worker

    def renew(self, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """Renew (id, fence) pairs; per lease: 0 lost, 1 renewed, 2 renewed but to be cancelled."""
        replies: list[int] = []
        for first in range(0, len(leases), MAX_BATCH):
            replies += self._renew(partition, leases[first : first + MAX_BATCH])
        return replies

    def renew_all(self, partition: str) -> None:
        """Renew whatever this worker holds, jobs it has not been told of yet included."""
        self._run("renew", partition, [self._worker])

    def finish(self, partition: str, verdicts: Sequence[Finish]) -> list[bool]:
        """As `PartitionQueue.finish`."""
        accepted: list[bool] = []
        for first in range(0, len(verdicts), MAX_BATCH):
            args = finish_args(verdicts[first : first + MAX_BATCH])
            accepted += [reply > 0 for reply in self._run("finish", partition, args)]
        return accepted

    def _renew(self, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        args: list[Any] = [self._worker]
        for lease in leases:
            args += lease
        return self._run("renew", partition, args)

    def _run(self, verb: str, partition: str, args: Sequence[Any]) -> Any:
        loaded = script(verb)
        command = ("EVALSHA", loaded.sha, 1, self._keys.base(partition), *args)
        with translated():
            try:
                return self._redis.execute_command(*command)
            except exceptions.NoScriptError:
                self._redis.script_load(loaded.source)
                return self._redis.execute_command(*command)
