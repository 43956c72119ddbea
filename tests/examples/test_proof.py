"""The commands of docs/proof.md, run as they stand there against real roles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import redis

from millstream.core.config import Settings, as_environ
from millstream.core.embedded.ports import free_port
from millstream.core.events import Record
from millstream.core.keys import Keys
from millstream.core.proof.exports import read_heads
from millstream.projections import queries
from millstream.projections.connection import connect_pool
from tests.cli.roles import running
from tests.projections.stage import until

PAGE = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
MAKE, PROVE, VERIFY = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


class Shell:
    """Runs the page's commands in a folder, `millstream` being this checkout's."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        bin = folder / "bin"
        bin.mkdir()
        script = bin / "millstream"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m millstream.cli "$@"\n')
        script.chmod(0o755)
        environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
        self.environ = environ | as_environ(settings) | {
            "PATH": f"{bin}:{os.environ['PATH']}",
            "MILLSTREAM_URL": f"http://127.0.0.1:{settings.port}",
            "MILLSTREAM_PROOF_INTERVAL": "0.1",
        }  # fmt: skip

    def __call__(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", text], cwd=self.folder, env=self.environ, timeout=60,
            capture_output=True, text=True,
        )  # fmt: skip

    @contextmanager
    def meanwhile(self, text: str) -> Generator[None]:
        """Run commands of which the last does not end."""
        first, _, last = text.strip().rpartition("\n")
        with (self.folder / "log").open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"{first}\nexec {last}"], cwd=self.folder, env=self.environ,
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0, (self.folder / "log").read_text()


async def archived(dsn: str) -> list[Record]:
    """All that is archived of a queue."""
    pool = await connect_pool(dsn, timeout=20)
    try:
        return await queries.archived_events(pool, "default", 0, 10_000)
    finally:
        pool.terminate()


@pytest.mark.slow
async def test_the_page_is_true(settings: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        settings, port=free_port(), explicit=settings.explicit | {"port"}
    )
    shell, heads = Shell(settings, tmp_path), tmp_path / "heads.jsonl"
    with running(settings, tmp_path), shell.meanwhile(MAKE):
        body = '{"sql": "SELECT 1"}'
        for _ in range(3):
            done = shell(f"millstream submit data.query --payload '{body}' --wait 20")
            assert done.stdout, done.stderr

        async def sealed() -> bool:
            return shell(PROVE).returncode == 0

        await until(sealed, 60)
        told = shell(PROVE)
        assert "proved: default:1:1" in told.stderr
        assert "its head is signed" in told.stderr
        with redis.Redis.from_url(settings.redis_url) as client:
            end = client.xlen(Keys(settings.namespace).log("default"))

        async def all_told() -> bool:
            if len(await archived(settings.postgres_dsn)) < end:
                return False
            told = read_heads(heads) if heads.exists() else []
            return max((one.head.last for one in told), default=0) >= end

        await until(all_told, 60)
        done = shell(VERIFY)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"all as it was sealed: {end} events" in done.stdout
    names = _tampered(shell)
    assert names == {("altered", "default:1:2"), ("deleted", "default:1:4")}
    assert "PRIVATE" not in (tmp_path / "log").read_text()


def _tampered(shell: Shell) -> set[tuple[str, str]]:
    """What verify-export says when the export is no longer what it was."""
    [file] = (shell.folder / "audit").glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    changed = [lines[0], lines[1].replace(b'"version":', b'"version":1'), lines[2], *lines[4:]]
    file.write_bytes(b"".join(changed))
    done = shell(VERIFY.strip().splitlines()[-1] + " --json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    done = shell(VERIFY.strip().splitlines()[-1])
    assert "altered default:1:2" in done.stdout
    manifest = shell.folder / "audit" / "manifest.json"
    told = json.loads(manifest.read_bytes())
    told["queues"][0]["gaps"] = [{"after_seq": 3, "before_seq": 5, "dropped": True}]
    manifest.write_text(json.dumps(told))
    done = shell(VERIFY.strip().splitlines()[-1])
    assert "deleted" not in done.stdout
    assert "dropped for their age, the manifest says: 1 events of default" in done.stdout
    done = shell(VERIFY.strip().splitlines()[-1] + " --kept-days 30")
    assert "deleted default:1:4" in done.stdout  # it was sealed a moment ago
    done = shell(VERIFY.strip().splitlines()[-1] + " --kept-days emails:30")
    assert "deleted default:1:4" in done.stdout  # there is no rule by which it could have gone
    return {(one["kind"], one["where"]) for one in found}


def test_bad_files_are_named(settings: Settings, tmp_path: Path) -> None:
    shell = Shell(settings, tmp_path)
    (tmp_path / "x").write_text("x\n")
    for text, message in (
        ("verify-export none --heads x", "expected a signed head"),
        ("verify-export x", "--heads"),
        ("verify-export x --heads none", "No such file"),
        ("verify-export x --heads bin/millstream --public-key x", "public key"),
        ("verify-export x --heads x --kept-days -1", "'-1'"),
        ("verify-export x --heads bin/millstream --kept-days emails", "'emails'"),
        ("verify-export x --heads x --kept-days 7,*:9", "one rule for *"),
        ("proof-key x", "not taken"),
        ("sealer", "MILLSTREAM_PROOF_KEY: expected the file of a key"),
        ("proof default", "expected a position"),
    ):
        done = shell(f"millstream {text}")
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        if text != "proof default":  # no API runs here
            assert message in done.stderr, (text, done.stderr)
