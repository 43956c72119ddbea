"""`millstream api`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from . import options


@click.command("api")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000).")
@options.data_option
def command(host: str | None, port: int | None, data: Path | None) -> None:
    """Serve the HTTP API.

    Takes jobs and commands, and serves the tables that the projector keeps. Run as many as you
    like behind one address. There are no API keys yet, so it listens on loopback only, unless
    MILLSTREAM_TRUST_NETWORK=true states that the network in front authenticates.

    \b
    millstream api --port 8080
    MILLSTREAM_REDIS_URL=redis://db1/0 MILLSTREAM_POSTGRES_DSN=postgresql://db2/ms millstream api
    """
    settings = options.load(host=host, port=port)
    with options.role("api", settings, data) as found:
        from ..api.server import serve

        serve(found)
