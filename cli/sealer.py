"""`millstream sealer`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from . import options


@click.command("sealer")
@options.data_option
def command(data: Path | None) -> None:
    """Seal the archive: sign a head over each segment of it, and write the heads elsewhere.

    Needs a key, see `millstream proof-key`. Where heads are written is set by
    MILLSTREAM_PROOF_HEADS: log, file:PATH, or a URL that takes POST; several with commas.
    `millstream up` runs a sealer where there is a key.

    \b
    export MILLSTREAM_PROOF_KEY=seal.key MILLSTREAM_PROOF_HEADS=file:/mnt/worm/heads.jsonl
    millstream sealer
    """
    settings = options.load()
    with options.role("sealer", settings, data) as found:
        from ..projections.proof.service import serve

        serve(found)
