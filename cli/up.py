"""`millstream up`: everything on this machine, from nothing but the wheels."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import rich_click as click

from ..core import config, logs
from ..core.config import Settings
from ..core.embedded import Servers, servers
from ..core.embedded.ports import free_port, is_free
from ..core.errors import ConfigError, MillstreamError
from . import options
from .child import Child
from .supervisor import Supervisor

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05


@click.command("up")
@click.option("--host", help="Address of the API (default 127.0.0.1).")
@click.option("--port", type=int, help="Port of the API (default 8000; 0 picks a free one).")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".millstream"),
    show_default=True,
    metavar="DIR",
    help="Folder of the embedded servers' data.",
)
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True)
@options.app_option
def command(
    host: str | None, port: int | None, data: Path, workers: int, apps: tuple[str, ...]
) -> None:
    """Run everything here: servers, API, projector and workers.

    Starts Valkey and PostgreSQL from their wheels (data in --data, found again next time), brings
    the schema up to date, then runs the roles, and starts again what dies. Ctrl-C drains and
    stops all; a second Ctrl-C stops at once. MILLSTREAM_REDIS_URL and MILLSTREAM_POSTGRES_DSN
    replace the embedded servers.

    \b
    millstream up --app examples/handlers.py
    millstream up --port 8080 --workers 2 --app shop.jobs --app shop/mails.py
    """
    settings = options.load(host=host, port=port)
    config.require_loopback(settings.host, trust_network=settings.trust_network)
    logs.configure(settings.log_level, settings.log_format, role="up")
    settings = _with_port(settings)
    code = asyncio.run(_up(settings, servers(data, settings), workers, apps))
    sys.exit(code)


def _with_port(settings: Settings) -> Settings:
    """Refuse a taken port before anything is started."""
    try:
        if settings.port == 0:
            return config.override(settings, {"port": free_port(settings.host)})
        taken = not is_free(settings.port, settings.host)
    except socket.gaierror as error:
        expected = f"an address of this machine ({error})"
        raise ConfigError("--host", expected, settings.host) from None
    if taken:
        raise ConfigError(
            "--port",
            f"a free port on {settings.host} (another program listens there, maybe an earlier "
            "`millstream up`); --port 0 picks one",
            settings.port,
        )
    return settings


async def _up(settings: Settings, local: Servers, workers: int, apps: Sequence[str]) -> int:
    """Up to the first signal, then down again; the second signal cancels whatever is under way."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(_run(settings, local, workers, apps, asked))

    def stop() -> None:
        if asked.is_set():
            run.cancel()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await run
    except asyncio.CancelledError:
        return 1
    return 0


async def _run(
    given: Settings, local: Servers, workers: int, apps: Sequence[str], asked: asyncio.Event
) -> None:
    try:
        settings = await _start_servers(local)
        for server in local.local:
            server.pin_port()
        await _migrate(settings)
        if not asked.is_set():
            await _supervise(settings, local, workers, apps, asked)
    finally:
        local.stop()  # blocks, on purpose: nothing else is left to do, and a cancel cannot skip it


async def _start_servers(local: Servers) -> Settings:
    """Seen to its end even when cancelled: a server half started would outlive us."""
    starting = asyncio.create_task(asyncio.to_thread(local.start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait((starting,))
        raise


async def _migrate(settings: Settings) -> None:
    from ..projections.migrations import migrate

    await migrate(settings.postgres_dsn)


async def _supervise(
    settings: Settings, local: Servers, workers: int, apps: Sequence[str], asked: asyncio.Event
) -> None:
    supervisor = Supervisor(_children(settings, workers, apps), local.local, settings.grace)
    stopping = asyncio.create_task(asked.wait())
    starting = asyncio.create_task(_start(supervisor, settings))
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            _announce(settings, local)
            await stopping
        else:
            starting.cancel()
            await asyncio.wait((starting,))
        await supervisor.drain()
    except BaseException:
        supervisor.kill()
        raise
    finally:
        stopping.cancel()


async def _start(supervisor: Supervisor, settings: Settings) -> None:
    await supervisor.start()
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while await asyncio.to_thread(_readyz, settings) != 200:
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise MillstreamError(
            f"all roles run, but {_url(settings)}/api/v1/readyz did not answer 200 within "
            f"{_READY_SECONDS:g} s"
        ) from None


def _readyz(settings: Settings) -> int:
    connection = HTTPConnection(_reachable(settings.host), settings.port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/api/v1/readyz")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0


def _children(settings: Settings, workers: int, apps: Sequence[str]) -> list[Child]:
    environ = {**os.environ, **config.as_environ(settings)}
    app_options = [part for app in apps for part in ("--app", app)]
    api = Child("api", ["api"], environ)
    projector = Child("projector", ["projector"], environ)
    sealers = [] if settings.proof_key is None else [Child("sealer", ["sealer"], environ)]
    hands = (_worker(settings, environ, app_options) for _ in range(workers))
    return [api, projector, *sealers, *hands]


def _worker(settings: Settings, environ: Mapping[str, str], app_options: Sequence[str]) -> Child:
    """Alone on the machine a worker serves every queue, unless told otherwise."""
    queues = [] if "queues" in settings.explicit else ["--queue", "*"]
    return Child("worker", ["worker", *app_options, *queues], environ)


def _announce(settings: Settings, local: Servers) -> None:
    url = _url(settings)
    servers = f"  millstream events --data {local.root}\n" if local.local else ""
    print(f"ready {url}", flush=True)
    print(
        f"""
Try, in another terminal:

  curl -s {url}/api/v1/jobs -H 'content-type: application/json' \\
       -d '{{"type": "hello", "payload": {{"name": "world"}}}}'
  curl -s {url}/api/v1/jobs/stats/summary
{servers}
Ctrl-C drains and stops everything.""",
        flush=True,
    )


def _url(settings: Settings) -> str:
    host = _reachable(settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _reachable(host: str) -> str:
    """Where a server that listens on every address answers from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
