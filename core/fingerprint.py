"""What failed jobs have in common: the error without all that differs from job to job. Pure.

Two errors are alike if they have the same type, the same message once numbers, ids, and quoted
parts are masked, and came from the same function of the user's own code. Line numbers do not
count, nor does the folder a file is in: the next deployment would move both.
"""

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .events import Fault

MAX_MASKED = 1000
"""Characters of a message that are looked at: what comes later says more of the data."""

MAX_LABEL = 200

BY_REASON = frozenset({"expired", "poison"})
"""Reasons that say all: an error that such a job met earlier did not end it."""

# One mask for numbers and ids, since an id may happen to be a number. That of quoted parts is
# quoted, so that what was masked once stays as it is.
_MASKS = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "#"),
    # Within a word an apostrophe quotes nothing.
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`|“[^”]*”|‘[^’]*’"), "'…'"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"), "#"),
    (re.compile(r"(?<![\w.])[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?(?!\w)"), "#"),
    # A longer word with digits in it is somebody's id.
    (re.compile(r"\b(?=\w*\d\w*\d)\w{6,}\b"), "#"),
    (re.compile(r"\d+"), "#"),
    (re.compile(r"\s+"), " "),
)

_FRAME = re.compile(r'^[ |+]*File "([^"\n]+)", line \d+(?:, in (.+))?$', re.MULTILINE)
_FOREIGN = re.compile(r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python\d|^<|\.pyx$")


class Fingerprint(NamedTuple):
    """`digest` (16 hex digits) stands for all errors alike; `label` is it for people."""

    digest: str
    label: str


def fingerprint_of(reason: str, error: "Fault | None") -> Fingerprint:
    """The fingerprint of a job that was given up for `reason`, its last error being `error`.

    Of an error that is encrypted its type is all there is.
    """
    if error is None or reason in BY_REASON:
        return _of_reason(reason)
    return _of_error(error.type, error.message, error.traceback)


# The digest is asked for when a job fails, and the label a moment later when its group is counted.
@lru_cache(16)
def _of_reason(reason: str) -> Fingerprint:
    return Fingerprint(_digest("", reason, ""), reason)


@lru_cache(16)
def _of_error(type: str, message: str, traceback: str) -> Fingerprint:
    message, frame = masked(message), own_frame(traceback)
    label = f"{type}: {message}" if message else type
    label = _shown(label, MAX_LABEL - len(frame) - 3) + f" ({frame})" if frame else label
    return Fingerprint(_digest(type, message, frame), _shown(label, MAX_LABEL))


def masked(message: str) -> str:
    """The message with all that is of one job alone masked."""
    message = message[:MAX_MASKED]
    for pattern, mask in _MASKS:
        message = pattern.sub(mask, message)
    return message.strip()


def own_frame(traceback: str) -> str:
    """File and function of the last frame that is of no installed package; '' if there is none."""
    frame = ""
    for path, function in _FRAME.findall(traceback):
        if not _FOREIGN.search(path):
            file = re.split(r"[\\/]", path)[-1]
            frame = f"{function} in {file}" if function else file
    return frame[: MAX_LABEL // 2]


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(text).hexdigest()[:16]


def _shown(text: str, limit: int) -> str:
    text = text.replace("\0", "")  # PostgreSQL's text cannot hold it
    return text if len(text) <= limit else text[: limit - 1] + "…"
