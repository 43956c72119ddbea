"""Running jobs in processes of their own, one at a time in each.

`pool` decides in which, `child` is the worker's face of one, `line` carries the messages between
them, and `program` is what runs in it.
"""

from .pool import Processes

__all__ = ["Processes"]
