"""The embedded servers keep their data and their address, whatever happens to their processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from millstream.core.config import Settings
from millstream.core.embedded import EmbeddedError, Postgres, Valkey, process, servers
from millstream.core.embedded.ports import LOOPBACK, free_port, is_free


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all tests of this file: making a PostgreSQL cluster takes a second."""
    folder = tmp_path_factory.mktemp("private")
    yield folder / "data"
    leftovers = servers(folder / "data", Settings())
    leftovers.start()
    leftovers.stop()


def _set(url: str, key: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set(key, value)
        client.execute_command("WAITAOF", 1, 0, 1000)


def _get(url: str, key: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.get(key)


def _query(dsn: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_a_second_start_finds_data_and_addresses_of_the_first(root: Path) -> None:
    with servers(root, Settings()) as first:
        _set(first.redis_url, "kept", "yes")
        assert _query(first.postgres_dsn, "SELECT current_database()") == "millstream"
    with servers(root, Settings()) as second:
        assert second == first
        assert _get(second.redis_url, "kept") == "yes"


def test_both_come_back_after_sigkill(root: Path) -> None:
    both = servers(root, Settings())
    before = both.start()
    assert both.valkey is not None
    assert both.postgres is not None
    _set(before.redis_url, "survivor", "1")
    _query(before.postgres_dsn, "CREATE TABLE IF NOT EXISTS survivor ()")
    both.valkey.kill()
    both.postgres.kill()
    assert not both.valkey.running
    assert not both.postgres.running
    assert both.start() == before
    assert _get(before.redis_url, "survivor") == "1"
    assert _query(before.postgres_dsn, "SELECT count(*) FROM survivor") == 0
    both.stop()


def test_the_last_user_stops_the_servers(root: Path) -> None:
    first, second = servers(root, Settings()), servers(root, Settings())
    settings = first.start()
    assert second.start() == settings
    assert [server.started_here for server in second.local] == [False, False]
    first.stop()
    assert _get(settings.redis_url, "nothing") is None
    assert all(server.running for server in second.local)
    second.stop()
    assert not any(server.running for server in (*first.local, *second.local))


def test_servers_left_by_a_killed_command_are_used_and_then_stopped(root: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from millstream.core.config import Settings\n"
        "from millstream.core.embedded import servers\n"
        "servers(sys.argv[1], Settings()).start()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    found = servers(root, Settings())
    found.start()
    assert [server.started_here for server in found.local] == [False, False]
    found.stop()
    assert not any(server.running for server in found.local)


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(root: Path) -> None:
    postgres = Postgres(root)
    postgres.start()
    pid_file = postgres.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.kill()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    postgres.start()
    assert _query(postgres.dsn, "SELECT 1") == 1
    postgres.stop()


def test_a_state_file_that_names_a_stranger_is_no_obstacle(root: Path) -> None:
    valkey = Valkey(root)
    valkey.start()
    port = valkey.port
    valkey.stop()
    (root / "servers" / "valkey.json").write_text(f'{{"pid":{os.getpid()},"port":{port}}}')
    again = Valkey(root)
    again.start()
    assert again.pid != os.getpid()
    again.stop()
    os.kill(os.getpid(), 0)


def test_a_url_that_is_given_replaces_its_server(tmp_path: Path) -> None:
    given = Settings(explicit=frozenset({"redis_url", "postgres_dsn"}))
    with servers(tmp_path / "unused", given) as settings:
        assert settings == given
    assert not (tmp_path / "unused").exists()


def test_a_wanted_port_that_is_taken_is_named(root: Path) -> None:
    first = Valkey(root)
    first.start()
    other = Valkey(root.parent / "other", port=first.port)
    with pytest.raises(EmbeddedError, match=f"port {first.port} is already in use"):
        other.start()
    first.stop()


def test_a_port_that_a_killed_server_leaves_late_is_waited_for(root: Path) -> None:
    """A child that it had just forked, such as a backend of PostgreSQL, holds it for a moment."""
    valkey = Valkey(root)
    valkey.start()
    port = valkey.port
    valkey.kill()
    with socket.create_server((LOOPBACK, port)) as child:
        leaves = threading.Timer(0.3, child.close)
        leaves.start()
        valkey.start()
        leaves.join()
    assert valkey.port == port
    valkey.stop()


def test_a_server_that_cannot_start_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PAUSES", (0.0, 0.1))
    broken = Valkey(tmp_path, options={"maxmemory": "a-lot"})
    with pytest.raises(EmbeddedError, match="a-lot"):
        broken.start()
    assert not broken.running


def test_strangers_without_the_password_are_refused(root: Path) -> None:
    with servers(root, Settings()) as settings:
        port = settings.redis_url.rpartition(":")[2].split("/")[0]
        with (
            redis.Redis(port=int(port), retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
        user, _, rest = settings.postgres_dsn.rpartition("@")
        with pytest.raises(asyncpg.InvalidPasswordError):
            _query(f"{user.rpartition(':')[0]}:wrong@{rest}", "SELECT 1")
    for secret in ("valkey.conf", "valkey.password", "postgres.password"):
        assert (root / "servers" / secret).stat().st_mode & 0o077 == 0


def test_valkey_keeps_what_it_is_told_to_keep(root: Path) -> None:
    valkey = Valkey(root)
    valkey.start()
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        config: Any = client.config_get("append*", "maxmemory-policy", "save")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    valkey.stop()


def test_free_ports_are_free() -> None:
    assert is_free(free_port())
