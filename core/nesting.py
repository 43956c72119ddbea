"""How deep JSON nests, told without decoding it."""

import re

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def depth(data: bytes) -> int:
    """How deep the brackets of `data` nest; strings do not count."""
    level = deepest = 0
    for match in _BRACKETS.finditer(_STRINGS.sub(b"", data)):
        if match[0] in b"[{":
            level += 1
            deepest = max(deepest, level)
        else:
            level -= 1
    return deepest


def deeper_than(data: bytes, bound: int) -> bool:
    """Whether `data` nests deeper than `bound`; usually told by counting brackets alone."""
    return data.count(b"[") + data.count(b"{") > bound and depth(data) > bound
