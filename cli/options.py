"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import rich_click as click

from ..core import config, logs
from ..core.config import Settings
from ..core.errors import Unavailable

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Use the embedded servers of this folder, starting them if they do not run.",
)

_HINT = (
    "\n  Servers are named by MILLSTREAM_REDIS_URL and MILLSTREAM_POSTGRES_DSN; those that"
    " `millstream up` started, by --data and its folder (of `make run`: --data .millstream)."
)

BUILT_IN = ("millstream.consumers.builtin.data", "millstream.consumers.builtin.email")

app_option = click.option(
    "--app",
    "apps",
    multiple=True,
    default=BUILT_IN,
    metavar="MODULE_OR_FILE",
    help="Where handlers are: a module (shop.jobs) or a file (shop/jobs.py). May be repeated. "
    "Without it: the built-in data.query and email.send.",
)


def load(**given: Any) -> Settings:
    """Settings from the environment, with the options that were given on top."""
    named = {key: value for key, value in given.items() if value not in (None, ())}
    return config.override(config.load(), named)


@contextlib.contextmanager
def connected(settings: Settings, data: Path | None) -> Generator[Settings]:
    """Settings that name servers to talk to: as configured, or the embedded ones of `data`."""
    if data is None:
        try:
            yield settings
        except Unavailable as error:
            raise Unavailable(f"{error}{_HINT}") from error
        return
    from ..core.embedded import servers

    with servers(data, settings) as found:
        yield found


@contextlib.contextmanager
def role(name: str, settings: Settings, data: Path | None) -> Generator[Settings]:
    """What every long-running role does first: log, follow its supervisor, find its servers."""
    from ..core.ready import follow_supervisor

    logs.configure(settings.log_level, settings.log_format, role=name)
    follow_supervisor()
    with connected(settings, data) as found:
        yield found


def several(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """What an option holds that may be repeated, or hold several with commas, as in the API."""
    return tuple(part for text in given for part in text.split(",") if part)
