"""The role `api`: one uvicorn server until SIGTERM or SIGINT, then a drain."""

import asyncio
import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Generator
from typing import Any

import structlog
import uvicorn
import uvloop

from ..core import connection
from ..core.config import Settings, require_loopback
from ..core.errors import ConfigError, Unavailable
from ..core.ready import follow_supervisor, notify_ready
from .app import create_app

BACKLOG = 2048

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A server that says when it serves, and ends long polls when it is told to stop."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            notify_ready()
            log.info("serving", address=_address(sockets or []))

    def handle_exit(self, sig: int, frame: Any) -> None:
        """First signal: drain. Second: stop at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        resources = getattr(self.config.app, "state", {}).get("resources")
        if resources is not None:
            resources.draining.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # who runs it in a thread stops it by `handle_exit`
            return
        # uvicorn's own raises the signal again at the end, so that a drain done well would still
        # look like death by signal to a supervisor.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for one in signals:
            loop.add_signal_handler(one, self.handle_exit, one, None)
        try:
            yield
        finally:
            for one in signals:
                loop.remove_signal_handler(one)


def serve(settings: Settings) -> None:
    """Serve the API until SIGTERM or SIGINT.

    Raises ConfigError if it may not or cannot listen there, ServerUnfit of a Redis that could
    throw jobs away.
    """
    require_loopback(settings.host, trust_network=settings.trust_network)
    follow_supervisor()
    with bind(settings.host, settings.port) as listener:
        server = Server(configure(settings))
        gc.collect()
        gc.freeze()  # what was imported stays: no collection need look at it again
        uvloop.run(_run(settings, server, listener))


async def _run(settings: Settings, server: Server, listener: socket.socket) -> None:
    redis = connection.connect(settings.redis_url, timeout=settings.command_timeout)
    try:
        with contextlib.suppress(Unavailable):  # it may come later
            await connection.check_server(redis)
    finally:
        await redis.aclose()
    await server.serve(sockets=[listener])


def configure(settings: Settings) -> uvicorn.Config:
    """How uvicorn is to serve the app of `settings`."""
    return uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
        timeout_keep_alive=75,
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError naming the address when it is taken or not ours."""
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_free(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise _not_free(host, port, error) from error
    return listener


def _not_free(host: str, port: int, error: OSError) -> ConfigError:
    expected = f"an address this machine can listen on ({error.strerror or error})"
    return ConfigError("MILLSTREAM_HOST and MILLSTREAM_PORT", expected, f"{host}:{port}")


def _address(sockets: list[socket.socket]) -> str:
    return ", ".join("{}:{}".format(*one.getsockname()[:2]) for one in sockets)
