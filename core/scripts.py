"""Loads the Lua verbs. A line ``--@include name`` takes in ``lua/includes/name.lua``."""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    """A verb as the server knows it."""

    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """The verb `name`, its includes taken in."""
    folder = files("millstream.core") / "lua"
    source = _INCLUDE.sub(
        lambda match: (folder / "includes" / f"{match[1]}.lua").read_text(),
        (folder / f"{name}.lua").read_text(),
    )
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
