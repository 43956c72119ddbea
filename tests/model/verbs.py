"""The verbs, one method each: what each replies, and what it does to the rooms.

Replies are those of `millstream.core.queue`; what a call is refused with is raised, as there.
Verbs of schedules (put, fire) will be a class beside these, over a room of their own.
"""

from __future__ import annotations

from .maintaining import Maintaining
from .operating import Operating
from .submitting import Submitting
from .working import Working


class Model(Submitting, Working, Operating, Maintaining):
    """A partition under its verbs."""
