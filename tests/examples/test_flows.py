"""The flows of docs/flows.md over real HTTP, with the commands it names, run by a real worker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded.ports import free_port
from tests.api.conftest import until
from tests.cli.roles import running

PAGE = (Path(__file__).parents[2] / "docs" / "flows.md").read_text()
SHOWN = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]

APP = """
from millstream.consumers import job

for name in ("fetch", "totals", "charts", "mail", "page", "merge"):
    @job(name)
    async def run(ctx, task):
        return task
"""


class Shell:
    """Runs `millstream …` beside an API and a worker."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *args: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "millstream.cli", *args, "--url", self.url],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ended(self, flow: str) -> Any:
        """The flow once it has ended."""
        return until(
            lambda: (found := self("flows", "show", flow)[0])["state"] != "running" and found
        )


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> Iterator[Shell]:
    app = tmp_path / "app.py"
    app.write_text(APP)
    served = config.override(
        settings, {"port": free_port(), "sweep": 0.2, "queues": ("default", "heavy")}
    )
    with running(served, tmp_path, str(app)):
        yield Shell(f"http://127.0.0.1:{served.port}")


def test_each_flow_shown_runs_to_its_end(shell: Shell, tmp_path: Path) -> None:
    assert [next(iter(flow)) for flow in SHOWN] == ["jobs", "chain", "batch"]
    for flow in SHOWN:
        (tmp_path / "flow.json").write_text(json.dumps(flow))
        [accepted] = shell("flows", "submit", str(tmp_path / "flow.json"))
        done = shell.ended(accepted["id"])
        assert done["by_state"]["succeeded"] == len(accepted["items"]), done
    [*_, first] = shell("flows")
    nodes_and_edges = shell("flows", "show", first["id"], "--graph")
    assert sum("parent" in one for one in nodes_and_edges) == 4


def test_a_batch_from_a_file_of_lines(shell: Shell, tmp_path: Path) -> None:
    pages = tmp_path / "pages.jsonl"
    pages.write_text("".join(f'{{"type": "page", "payload": {n}}}\n' for n in range(30)))
    assert 'flows batch pages.jsonl --then \'{"type": "merge"}\'' in PAGE
    [opened] = shell("flows", "batch", str(pages), "--then", '{"type": "merge"}')
    assert shell.ended(opened["id"])["total"] == 31
    assert shell("jobs", "show", opened["id"])[0]["state"] == "succeeded"
    assert len(shell("jobs", "--flow", opened["id"])) == 31


def test_one_job_after_another_and_a_flow_cancelled(shell: Shell) -> None:
    [first] = shell("submit", "fetch", "--delay", "3600")
    [last] = shell("submit", "mail", "--depends-on", first["id"], "--on-parent-failure", "cancel")
    assert last["state"] == "blocked"
    shell("jobs", "cancel", first["id"])
    until(lambda: shell("jobs", "show", last["id"])[0]["state"] == "cancelled")


def test_an_open_flow_is_added_to_closed_and_another_cancelled(
    shell: Shell, tmp_path: Path
) -> None:
    flow, pages = tmp_path / "flow.json", tmp_path / "pages.jsonl"
    flow.write_text('{"batch": [], "then": {"type": "merge"}, "open": true}')
    pages.write_text('{"type": "page", "payload": 1}\n\n{"type": "page", "payload": 2}\n')
    [first], [second] = (shell("flows", "submit", str(flow)) for _ in range(2))
    [added] = shell("flows", "add", first["id"], str(pages))
    assert len(added["items"]) == 2
    shell("flows", "close", first["id"], "--reason", "all are in")
    assert shell.ended(first["id"])["by_state"]["succeeded"] == 3
    assert shell("flows", "cancel", second["id"]) == [{"cancelled": 1, "requested": 0}]
    assert shell.ended(second["id"])["state"] == "cancelled"
