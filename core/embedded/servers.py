"""Both local servers of one folder, as the commands use them."""

from __future__ import annotations

import fcntl
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

import msgspec

from ..config import Settings
from .postgres import Postgres
from .process import ServerProcess
from .valkey import Valkey


class Servers:
    """Starts what the settings do not name, or uses what already runs in that folder.

    The last user of a folder stops its servers: each holds a shared lock, and who gets the
    exclusive one on leaving is alone. So servers left by a killed command are stopped by the next
    one, and no command pulls them from under another.

    `MILLSTREAM_REDIS_URL` and `MILLSTREAM_POSTGRES_DSN` replace the local servers, each its own.
    """

    def __init__(self, root: str | Path, settings: Settings) -> None:
        self.given = settings
        self.root = Path(root).absolute()
        self._lease: TextIOWrapper | None = None
        self.valkey = None if "redis_url" in settings.explicit else Valkey(root)
        self.postgres = None if "postgres_dsn" in settings.explicit else Postgres(root)

    @property
    def local(self) -> tuple[ServerProcess, ...]:
        return tuple(server for server in (self.valkey, self.postgres) if server is not None)

    def start(self) -> Settings:
        """Settings with the URLs of the servers that now run."""
        if self.local and self._lease is None:
            self._take_lease()
        try:
            for server in self.local:
                server.start()
        except BaseException:
            self.stop()
            raise
        return self.settings

    @property
    def settings(self) -> Settings:
        named: dict[str, str] = {}
        if self.valkey is not None:
            named["redis_url"] = self.valkey.url
        if self.postgres is not None:
            named["postgres_dsn"] = self.postgres.dsn
        explicit = self.given.explicit | named.keys()
        return msgspec.structs.replace(self.given, **named, explicit=frozenset(explicit))

    def stop(self) -> None:
        """Leave; the last one out stops the servers."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        with lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody else still uses them
            for server in reversed(self.local):
                server.stop()

    def _take_lease(self) -> None:
        file = self.root / "servers" / "users.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lease = file.open("a")
        fcntl.flock(self._lease, fcntl.LOCK_SH)

    def __enter__(self) -> Settings:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def servers(root: str | Path, settings: Settings) -> Servers:
    """`with servers(".millstream", load()) as settings: …`"""
    return Servers(root, settings)
