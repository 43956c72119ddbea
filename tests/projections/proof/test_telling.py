"""Heads reach every target, in order, also one that was away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from millstream.core.config import Settings
from millstream.core.proof.exports import read_heads
from millstream.projections.proof import telling
from millstream.projections.proof.service import seal
from millstream.projections.proof.telling import Teller
from tests.core.proof.makers import SIGNER
from tests.projections.stage import until

from .stage import Archive, lives


class Receiver:
    """A real server that takes heads, with a status of the test's choice."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status < 300:
                    receiver.bodies.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/heads"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


async def test_a_file_gets_each_head_once(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    await archive.add(lives(4))
    await archive.seal()
    await Teller(f"file:{path}").turn(archive.connection)
    await archive.add(lives(2, after=12))
    await archive.seal()
    for _ in range(2):  # another process, which knows of nothing
        await Teller(f"file:{path}").turn(archive.connection)
    assert list(read_heads(path)) == await archive.heads(leaves=False)
    assert len(list(read_heads(path))) == 5


async def test_more_heads_than_one_batch(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BATCH", 2)
    await archive.add(lives(5))
    await archive.seal(3)
    await Teller(f"file:{tmp_path}/heads").turn(archive.connection)
    assert len(list(read_heads(tmp_path / "heads"))) == 5


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_url_that_refuses_is_told_later(
    archive: Archive, receiver: Receiver, status: int
) -> None:
    await archive.add(lives(2))
    await archive.seal(3)
    teller = Teller(receiver.url)
    receiver.status = status
    with capture_logs() as lines:
        await teller.turn(archive.connection)
        await teller.turn(archive.connection)  # it rests: not asked again at once
    assert [line["event"] for line in lines] == ["proof.not_told"]
    assert str(status) in lines[0]["reason"]
    receiver.status = 200
    await Teller(receiver.url).turn(archive.connection)
    assert [body["number"] for body in receiver.bodies] == [1, 2]


async def test_one_target_that_fails_does_not_hold_up_others(
    archive: Archive, settings: Settings, tmp_path: Path
) -> None:
    await archive.add(lives(2))
    path = tmp_path / "heads"
    targets = ("http://127.0.0.1:9/none", f"file:{tmp_path}/none/heads", "log", f"file:{path}")
    given = msgspec.structs.replace(
        settings, proof_heads=targets, proof_interval=0.05, proof_segment=4
    )
    stop = asyncio.Event()
    with capture_logs() as lines:
        running = asyncio.create_task(seal(given, SIGNER, stop))

        async def told() -> bool:
            return path.exists() and len(list(read_heads(path))) == 2

        await until(told)
        stop.set()
        async with asyncio.timeout(20):
            await running
    failed = {line["target"] for line in lines if line["event"] == "proof.not_told"}
    assert failed == set(targets[:2])
    heads = [line["head"] for line in lines if line["event"] == "proof.head"]
    assert [json.loads(head)["number"] for head in heads] == [1, 2]


async def test_no_password_is_kept_or_logged(archive: Archive) -> None:
    await archive.add(lives(1))
    await archive.seal()
    with capture_logs() as lines:
        await Teller("http://ada:geheim@127.0.0.1:9/heads").turn(archive.connection)
    assert "geheim" not in str(lines)
    assert "***" in lines[0]["target"]
