"""`millstream proof-key`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command("proof-key")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def command(path: Path) -> None:
    """Make a key that signs heads of the archive: PATH, and PATH.pub for who verifies.

    PATH can be read by its owner alone. A file that is there is never written over. Prints the
    key's id, which stands in every head it signs.

    \b
    millstream proof-key seal.key
    """
    from ..core.proof.signing import make_key

    print(make_key(path))
