from __future__ import annotations

from pathlib import Path

import pytest

from millstream.core.codec import encode
from millstream.core.events import Record
from millstream.core.export import (
    ExportDamaged,
    Format,
    Gap,
    Manifest,
    Part,
    QueueExport,
    load,
    store,
)
from millstream.core.export import Span as Asked
from millstream.core.proof.exports import (
    Expected,
    UnreadableFile,
    expected_of,
    read_events,
    read_heads,
)
from millstream.core.proof.heads import line_of
from millstream.core.proof.verifier import Drops, Span, Verdict, Verifier

from .makers import KEYS, event, seal

LOG = [event(1), event(2, b"\xff\x00 no JSON"), event(3, b'{ "a" : 1 }\n'), event(4), event(5)]
MADE = 1_750_000_000_000
"""When heads and exports of these tests were made."""


def export(
    folder: Path, records: list[Record], format_: Format = "jsonl", asked: Asked | None = None
) -> Path:
    """Two files and a manifest, as `millstream events export` writes them."""
    manifest = Manifest(
        1, format_, "ms", asked or Asked(), MADE, [QueueExport("default", 5, done=True)]
    )
    for number, some in enumerate(filter(None, (records[:2], records[2:]))):
        part = Part(folder, f"default.{number:06}.{format_}", format_)
        for record in some:
            part.add(record)
        manifest.files.append(part.finish())
    store(folder, manifest)
    return folder


def verify(
    folder: Path, sizes: tuple[int, ...] = (5,), old: dict[str, int] | None = None
) -> Verdict:
    spans, before, dropped = expected_of(folder)
    heads = seal(LOG, sizes, leaves=False)
    drops = Drops(dropped, old)
    verifier = Verifier(heads, KEYS, spans=spans, before=before, drops=drops)
    for record in read_events(folder):
        verifier.take(record)
    return verifier.close()


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_an_export_of_any_format_is_proved(tmp_path: Path, format_: Format) -> None:
    folder = export(tmp_path, LOG, format_)
    assert list(read_events(folder)) == LOG
    assert list(read_events(tmp_path / f"default.000000.{format_}")) == LOG[:2]
    assert verify(folder).proved == 5


def test_a_changed_file_is_read_all_the_same(tmp_path: Path) -> None:
    folder = export(tmp_path, LOG)
    file = tmp_path / "default.000001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[2] + lines[0])
    assert set(verify(folder).counts) == {"deleted", "reordered", "unprovable"}


def test_heads_made_after_the_export_are_not_held_against_it(tmp_path: Path) -> None:
    """It was begun at MADE, when four events were sealed; a later head has the fifth and more."""
    folder = export(tmp_path, LOG)
    heads = seal([*LOG, event(6)], (4, 2), leaves=False)
    later = [heads[0], heads[1]._replace(head=heads[1].head._replace(sealed_at=MADE + 1))]
    spans, before, _ = expected_of(folder)
    verifier = Verifier(later, None, spans=spans, before=before)
    for record in read_events(folder):
        verifier.take(record)
    verdict = verifier.close()
    assert verdict.sound
    assert verdict.unsealed == {"default": 1}
    early = Verifier(heads, None, spans=spans, before=before)
    for record in read_events(folder):
        early.take(record)
    assert set(early.close().counts) == {"truncated", "unprovable"}


def test_what_is_expected_is_what_was_asked_for(tmp_path: Path) -> None:
    parts = {"all": Asked(), "one": Asked(["default"]), "since": Asked(begin=5)}
    for name, asked in parts.items():
        (tmp_path / name).mkdir()
        export(tmp_path / name, LOG[1:], asked=asked)
    assert expected_of(tmp_path / "all") == Expected(None, MADE, {"default": []})
    one = expected_of(tmp_path / "one")
    assert one.spans is not None
    assert list(one.spans) == ["default"]
    assert expected_of(tmp_path / "since").spans == {"default": Span((1, 2), (1, 5))}
    assert expected_of(tmp_path / "all" / "default.000000.jsonl") == Expected()


def declare(folder: Path, *gaps: Gap) -> None:
    """Say in the manifest what is missing."""
    manifest = load(folder)
    assert manifest is not None
    manifest.queues[0].gaps = list(gaps)
    store(folder, manifest)


@pytest.mark.parametrize("sizes", [(5,), (2, 3), (1, 1, 3)])
def test_what_retention_dropped_is_told_apart(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Events 1 to 3 are dropped, and the manifest says so of 1 and 2 only."""
    folder = export(tmp_path, LOG[3:])
    declare(folder, Gap(0, 3, dropped=True), Gap(2, 4))
    verdict = verify(folder, sizes)
    assert verdict.dropped == {"default": 2}
    assert [one.where for one in verdict.findings if one.kind == "deleted"] == ["default:1:3"]
    declare(folder, Gap(0, 4, dropped=True))
    verdict = verify(folder, sizes)
    assert verdict.sound, verdict.findings
    assert verdict.dropped == {"default": 3}
    # Sealed at MADE: too young to be dropped for its age.
    assert "deleted" in verify(folder, sizes, old={"*": MADE - 1}).counts
    assert verify(folder, sizes, old={"*": MADE}).sound
    assert verify(folder, sizes, old={"*": MADE - 1, "default": MADE}).sound
    assert "deleted" in verify(folder, sizes, old={"*": MADE, "default": MADE - 1}).counts
    # Retention has no rule for it: it keeps all of it.
    assert "deleted" in verify(folder, sizes, old={"other": MADE}).counts


def test_heads_come_back(tmp_path: Path) -> None:
    heads = seal(LOG, (2, 3))
    path = tmp_path / "heads"
    path.write_bytes(b"\n".join(encode(line_of(signed)) for signed in heads))
    assert list(read_heads(path)) == heads


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_bytes(b"\n\nx")
    with pytest.raises(UnreadableFile, match="line 3: expected a signed head"):
        list(read_heads(path))
    with pytest.raises(UnreadableFile, match="No such file"):
        list(read_heads(tmp_path / "none"))
    for other in (tmp_path, tmp_path / "none", path):
        with pytest.raises(ExportDamaged, match=r"expected a folder with a manifest\.json"):
            list(read_events(other))
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"{}\n")
    with pytest.raises(ExportDamaged, match="bad"):
        list(read_events(bad))


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    folder = export(tmp_path, LOG)
    file = folder / "default.000001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[4:]]))
    with pytest.raises(ExportDamaged, match=r"default\.000001\.jsonl, line 4: JSON is malformed"):
        list(read_events(folder))
