"""Handlers as pages of docs/ show them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def app_of(page: str, folder: Path) -> str:
    """The Python example of a page as an app: a file in `folder` with a registry of its own."""
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    file = folder / "app.py"
    code = code.replace("import Context, job", "import Context, Registry\nregistry = Registry()")
    file.write_text(code.replace("@job(", "@registry.job("))
    return f"{file}:registry"
