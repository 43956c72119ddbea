from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from millstream.core.codec import encode
from millstream.core.proof.exports import UnreadableExport, read_events, read_heads
from millstream.core.proof.heads import line_of

from .makers import event, seal

LOG = [event(1), event(2, b"\xff\x00 no JSON"), event(3, b'{ "a" : 1 }\n')]
LINES = b"".join(encode(record) + b"\n" for record in LOG)


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_events_come_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINES) if name.endswith("gz") else LINES)
    assert list(read_events(path)) == LOG


def test_heads_come_back(tmp_path: Path) -> None:
    heads = seal(LOG, (2, 1))
    path = tmp_path / "heads"
    path.write_bytes(b"\n".join(encode(line_of(signed)) for signed in heads))
    assert list(read_heads(path)) == heads


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(LINES + b'{"seq": 5}\n')
    with pytest.raises(UnreadableExport, match="line 4: expected an exported event"):
        list(read_events(path))
    path.write_bytes(b"\n\nx")
    with pytest.raises(UnreadableExport, match="line 3: expected a signed head"):
        list(read_heads(path))
    with pytest.raises(UnreadableExport, match="No such file"):
        list(read_heads(tmp_path / "none"))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(LINES)[:-9])
    with pytest.raises(UnreadableExport, match="after line"):
        list(read_events(cut))
