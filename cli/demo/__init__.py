"""`millstream demo`: the whole system on real work, and a check of everything it promises."""

from .command import command

__all__ = ["command"]
