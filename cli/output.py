"""JSON on stdout, number for number as it came: it is reformatted, never decoded and encoded."""

from __future__ import annotations

import sys

import msgspec


def one_line(text: bytes) -> bytes:
    """JSON without line breaks; payloads are kept as they were written, and may hold some."""
    if b"\n" in text or b"\r" in text:
        return msgspec.json.format(text, indent=-1)
    return text


def print_line(text: bytes) -> None:
    """One JSON line."""
    sys.stdout.write(one_line(text).decode() + "\n")


def print_json(text: bytes) -> None:
    """Indented on a terminal, one line elsewhere."""
    if sys.stdout.isatty():
        print(msgspec.json.format(text).decode())
    else:
        print_line(text)
