"""`millstream verify-export` where the heads say nothing of what is there."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from millstream.cli.verify_export import command
from millstream.core.codec import encode
from millstream.core.export import Span
from millstream.core.proof.heads import line_of
from tests.core.proof.makers import seal
from tests.core.proof.test_exports import LOG, export


def verified(folder: Path, *, leaves: bool) -> tuple[int, str]:
    """Exit code and output, of an export of the last four events of one segment of five."""
    (folder / "audit").mkdir()
    export(folder / "audit", LOG[1:], asked=Span(begin=5))
    lines = [encode(line_of(head)) for head in seal(LOG, (5,), leaves=leaves)]
    (folder / "heads").write_bytes(b"\n".join(lines))
    done = CliRunner().invoke(command, [str(folder / "audit"), "--heads", str(folder / "heads")])
    return done.exit_code, done.output


def test_an_export_of_which_nothing_is_proved_is_not_called_sound(tmp_path: Path) -> None:
    code, output = verified(tmp_path, leaves=False)
    assert code == 1
    assert output.startswith("nothing proved: 4 events, 0 proved by 1 heads\nnot proved: 4 events")
    assert "proof-heads --leaves" in output


def test_the_leaves_prove_it(tmp_path: Path) -> None:
    code, output = verified(tmp_path, leaves=True)
    assert code == 0
    assert output.startswith("all as it was sealed: 4 events, 4 proved by 1 heads\n")
