"""What all event bodies are."""

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=False):
    """Base of all event bodies. `name` is the event's type in the log."""

    name: ClassVar[str]
    schema: ClassVar[int] = 1


class Command(Event, frozen=True):
    """An event that somebody caused by a command: who, and why."""

    actor: str = ""
    reason: str = ""
