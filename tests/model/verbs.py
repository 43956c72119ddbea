"""All verbs of a partition. Each says what it replies, and what it does to the rooms.

Replies are those of `millstream.core.queue`; what a call is refused with is raised, as there.
"""

from __future__ import annotations

from .keeping import Keeping
from .operating import Operating
from .submitting import Submitting
from .working import Working


class Model(Submitting, Operating, Working, Keeping):
    """A partition under its verbs."""
