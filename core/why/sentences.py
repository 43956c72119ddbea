"""A sentence, and the words that come again in many."""

from msgspec import Struct

from ..events import Command, Fault
from ..times import time_of

_LONGEST = 300


class Sentence(Struct, frozen=True):
    """One reason. `code` is for programs and never changes; `events`: positions of those it rests
    on, none where it tells only how things stand."""

    code: str
    text: str
    events: list[str]


def at(ms: int) -> str:
    """An instant; one beyond what a calendar holds as it is."""
    try:
        return time_of(ms)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms after 1970"


def span(ms: int) -> str:
    """How long something took."""
    seconds = max(ms, 0) / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"


def by(command: Command) -> str:
    """Who did it, and why, as far as that was said."""
    who = f" by {short(command.actor)}" if command.actor else ""
    return who + (f" ({short(command.reason)})" if command.reason else "")


def fault(error: Fault | None) -> str:
    """What went wrong, on one line."""
    return "no error was told" if error is None else short(f"{error.type}: {error.message}")


def short(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
