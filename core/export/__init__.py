"""Exports of the event log: a folder of files with whole events, and a manifest that says what is
in them. docs/audit.md tells the format.

An export can be read, and its files held to their hashes, without any server.
"""

from .formats import FORMATS, Format, Part, read_part
from .manifest import (
    MANIFEST,
    ExportDamaged,
    ExportUnfit,
    FileEntry,
    Gap,
    Manifest,
    QueueExport,
    Span,
    load,
    store,
)
from .reading import read_export

__all__ = [
    "FORMATS",
    "MANIFEST",
    "ExportDamaged",
    "ExportUnfit",
    "FileEntry",
    "Format",
    "Gap",
    "Manifest",
    "Part",
    "QueueExport",
    "Span",
    "load",
    "read_export",
    "read_part",
    "store",
]
