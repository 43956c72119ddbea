"""Running what a page of the documentation shows, as somebody who types it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def scripts(page: str) -> list[str]:
    """The shell scripts a page shows."""
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run_script(script: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Run a script in which `millstream` is this tree's; what it printed. Fails if a line fails."""
    program = folder / "millstream"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m millstream.cli "$@"\n')
    program.chmod(0o755)
    if url := environ.get("MILLSTREAM_URL"):
        script = script.replace("http://127.0.0.1:8000", url)
    done = subprocess.run(
        ["/bin/sh", "-ex"],
        input=script,
        env={**environ, "PATH": f"{folder}:{environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
