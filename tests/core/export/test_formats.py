"""Each format gives back each event as it was, byte for byte; what was damaged is named."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core.events import Record
from millstream.core.export import (
    FORMATS,
    ExportDamaged,
    Format,
    Manifest,
    Part,
    QueueExport,
    Span,
    load,
    read_export,
    read_part,
    store,
)
from millstream.core.export.manifest import MANIFEST
from millstream.core.export.rows import line_of, record_of
from tests.strategies import json_values, logs

text = st.text(max_size=12)
bodies = (
    st.binary(max_size=30)
    | json_values.map(msgspec.json.encode)
    | st.sampled_from([b"", b"null", b"NULL", b'{"a":\n1}', b' {"a":1}', b'{"a":1} ', b'"\\u0000"',
                       b"\xef\xbb\xbf{}", b'{"a":"x\r\ny"}', '{"é":"\u2028"}'.encode(), b'"'])
)  # fmt: skip
records = st.builds(
    Record, partition=st.just("default"), seq=st.integers(1, 2**50), epoch=st.just(1), type=text,
    job=text, version=st.integers(0, 2**31 - 1), body=bodies, time=st.integers(0, 2**45),
    entry=st.just("1-1"),
)  # fmt: skip


@given(records)
def test_a_json_line_is_one_line_and_holds_the_body_as_it_was(record: Record) -> None:
    line = line_of(record)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert record_of(line) == record
    msgspec.json.decode(line)


def test_a_usual_body_stands_in_the_line_as_itself() -> None:
    record = Record("default", 1, 1, "job.cancelled", "", 0, b'{"actor": "ada"}', 5, "5-0")
    assert line_of(record) == (
        b'{"partition":"default","seq":1,"epoch":1,"type":"job.cancelled","job":"","version":0,'
        b'"time":5,"entry":"5-0","body":{"actor": "ada"}}\n'
    )


@pytest.mark.parametrize("format", FORMATS)
@hypothesis_settings(max_examples=25)
@given(found=st.lists(records, min_size=1, max_size=6))
def test_any_events_come_back_from_any_format(format: Format, found: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        part = Part(Path(folder), f"default.000001.{format}", format)
        for record in found:
            part.add(record)
        entry = part.finish()
        assert list(read_part(Path(folder) / entry.name, format)) == found
        assert [path.name for path in Path(folder).iterdir()] == [entry.name]
        assert (entry.count, entry.first_seq, entry.last_seq) == (
            len(found), found[0].seq, found[-1].seq,
        )  # fmt: skip


def written(folder: Path, format: Format, each: list[Record]) -> Manifest:
    queues = [QueueExport("default", len(each), done=True)]
    manifest = Manifest(1, format, "ms", Span(), 0, queues, complete=True)
    for number, first in enumerate(range(0, len(each), 4), 1):
        part = Part(folder, f"default.{number:06d}.{format}", format)
        for record in each[first : first + 4]:
            part.add(record)
        manifest.files.append(part.finish())
    store(folder, manifest)
    return manifest


@pytest.mark.parametrize("format", FORMATS)
@hypothesis_settings(max_examples=10)
@given(log=logs(max_jobs=3, max_size=8))
def test_an_export_is_read_as_one(format: Format, log: list[Any]) -> None:
    events = [record for record, _ in log]
    with tempfile.TemporaryDirectory() as name:
        manifest = written(Path(name), format, events)
        assert load(Path(name)) == manifest
        assert list(read_export(Path(name))) == events
        assert list(read_export(Path(name), "default")) == events
        assert list(read_export(Path(name), "other")) == []


def lines(count: int) -> list[Record]:
    return [
        Record("default", n, 1, "queue.paused", "", 0, b"{}", n, f"{n}-0")
        for n in range(1, count + 1)
    ]


def _rewrite(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


DAMAGE: dict[str, tuple[str, bytes, bytes, str]] = {
    "a body": ("default.000001.jsonl", b'"body":{}', b'"body":[]', "expected sha256"),
    "a hash": (MANIFEST, b'"sha256": "', b'"sha256": "0', "expected sha256"),
    "a name": (MANIFEST, b"default.000001", b"../default.000001", "expected names of files"),
    "a queue": (MANIFEST, b'"queue": "default",\n      "epoch"', b'"queue": "x",\n      "epoch"',
                "expected an event of x"),
    "a count": (MANIFEST, b'"count": 4', b'"count": 5', "expected 5 events up to seq 4"),
    "the manifest": (MANIFEST, b'"files"', b'"fils"', "unknown field `fils`"),
    "its version": (MANIFEST, b'"version": 1', b'"version": 2', "expected version 1, got: 2"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(tmp_path: Path, what: str) -> None:
    name, old, new, said = DAMAGE[what]
    written(tmp_path, "jsonl", lines(6))
    assert old in (tmp_path / name).read_bytes()
    _rewrite(tmp_path / name, old, new)
    with pytest.raises(ExportDamaged, match=said):
        list(read_export(tmp_path))


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_or_gone_is_named(tmp_path: Path, format: Format) -> None:
    written(tmp_path, format, lines(6))
    path = tmp_path / f"default.000002.{format}"
    path.write_bytes(path.read_bytes()[:-3])
    for check in (True, False):
        with pytest.raises(ExportDamaged, match="000002"):
            list(read_export(tmp_path, check=check))
    path.unlink()
    with pytest.raises(ExportDamaged, match="No such file"):
        list(read_export(tmp_path))
    with pytest.raises(ExportDamaged, match=r"expected a manifest\.json"):
        list(read_export(tmp_path / "nowhere"))
