from __future__ import annotations

import os
import subprocess
import sys

import pytest

from millstream.cli.main import COMMANDS


def _millstream(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millstream.cli", *arguments],
        env={**os.environ, "COLUMNS": "100", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    shown = _millstream(command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"millstream {command}" in shown.stdout.split("Options")[0].split("\n", 2)[2]


def test_a_configuration_error_is_one_clear_line() -> None:
    refused = _millstream("worker", MILLSTREAM_LEASE="soon")
    assert refused.returncode == 2
    assert refused.stderr == (
        "millstream: MILLSTREAM_LEASE: expected a number of seconds, 1 or more, got: 'soon'\n"
    )


def test_up_refuses_a_host_beyond_this_machine() -> None:
    refused = _millstream("up", "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "MILLSTREAM_TRUST_NETWORK" in refused.stderr


def test_help_imports_neither_litestar_nor_drivers() -> None:
    program = (
        "import sys\n"
        "from millstream.cli.main import COMMANDS, cli\n"
        "for name in ('worker', 'api', 'projector', 'migrate'):\n"
        "    cli.get_command(None, name)\n"
        "print([m for m in ('litestar', 'asyncpg', 'uvicorn', 'duckdb') if m in sys.modules])\n"
    )
    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert listed.stdout.strip() == "[]"
