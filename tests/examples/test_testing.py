"""The tests that docs/testing.md and examples/ show pass as they are, run as a user runs them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

from millstream.consumers.testing import Outcome, Sandbox, Snapshot

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()


def run(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page(tmp_path: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name is not None, f"expected a file name in the first line, got {code[:40]!r}"
        (tmp_path / name[1]).write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    shown = PAGE.count("async def test_")
    assert f"{shown} passed" in run("test_shop.py", cwd=tmp_path)


def test_the_example() -> None:
    assert "2 passed" in run("examples/test_first_handler.py", cwd=ROOT)


def test_it_names_what_there_is() -> None:
    parameters = inspect.signature(Sandbox).parameters
    for name in re.findall(r"^\| `(\w+)=", PAGE, re.MULTILINE):
        assert name in parameters or name == "lease", name
    for name in re.findall(r"`(?:await )?box\.(\w+)", PAGE):
        assert hasattr(Sandbox, name), name
    row = next(line for line in PAGE.splitlines() if line.startswith("| `box.job(id)`"))
    fields = set(Snapshot.__struct_fields__)
    assert set(re.findall(r"`(\w+)`", row)) <= fields
    row = next(line for line in PAGE.splitlines() if line.startswith("| `await call("))
    assert set(re.findall(r"`(\w+)`", row)) == set(Outcome._fields)
