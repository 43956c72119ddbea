"""The entry point: which command lives in which module, and what an error looks like."""

from __future__ import annotations

import errno
import sys
from importlib import import_module

import rich_click as click

from ..core.errors import ConfigError, MillstreamError, Unavailable, UnknownQueue

#: command → module of this package that holds a click command named `command`.
COMMANDS = {
    "up": "up",
    "api": "api",
    "worker": "worker",
    "projector": "projector",
    "project": "project",
    "migrate": "migrate",
    "rebuild": "rebuild",
    "restore": "restore",
    "import": "import_events",
    "submit": "submit",
    "jobs": "jobs",
    "why": "why",
    "dead": "dead",
    "flows": "flows",
    "queues": "queues",
    "schedules": "schedules",
    "workers": "workers",
    "job-types": "job_types",
    "subjects": "subjects",
    "retention": "retention",
    "holds": "holds",
    "events": "events",
    "sealer": "sealer",
    "proof": "proof",
    "proof-key": "proof_key",
    "proof-heads": "proof_heads",
    "verify-export": "verify_export",
    "verify": "verify",
    "audit": "audit",
    "demo": "demo",
}


class LazyGroup(click.RichGroup):
    """Imports a command's module when the command is asked for: a worker host needs no Litestar."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".{COMMANDS[cmd_name]}", __package__)
        command: click.Command = module.command
        return command


REFUSED, UNREACHABLE = 2, 4
"""As in `client`, which takes long to import."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a write is told, without the name of its file."""

click.rich_click.TEXT_PARAGRAPH_LINEBREAKS = "\n\n"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="millstream")
def cli() -> None:
    """Millstream: an event-sourced job scheduler on Redis Streams and PostgreSQL.

    \b
    millstream up                          everything on this machine, servers included
    millstream worker --app shop/jobs.py   one more worker, on any host

    Settings are MILLSTREAM_… variables or a TOML file named by MILLSTREAM_CONFIG.
    """


def main() -> None:
    try:
        cli(prog_name="millstream")
    except (ConfigError, UnknownQueue) as error:
        sys.exit(_complain(error, REFUSED))
    except Unavailable as error:
        sys.exit(_complain(error, UNREACHABLE))
    except MillstreamError as error:
        sys.exit(_complain(error, 1))
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        sys.exit(_complain(f"{where}{error.strerror}", REFUSED))


def _complain(error: MillstreamError | str, code: int) -> int:
    print(f"millstream: {error}", file=sys.stderr)
    return code
