"""Small writes that Redis takes also when its memory is full, since what frees it depends on them.

Beside the verbs, whose scripts say themselves whether they are such: who serves what, and which
queues and job types there are.
"""

from typing import Any

_NOTE = "#!lua flags=allow-oom\nreturn redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"


def note(command: str, key: str, *args: Any) -> tuple[Any, ...]:
    """The command that does `command key args…` however full the memory is."""
    return ("EVAL", _NOTE, 1, key, command, *args)
