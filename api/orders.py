"""What is asked of the submitter, and what it answers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..core.events import JobSubmitted
from ..core.submitting import Duplicate, Policy


class Order(NamedTuple):
    """A job to be submitted; `policy`, `once`, `ended` and `before` as in core.submitting.NewJob.

    id  that it is to have; None: a new one
    """

    spec: JobSubmitted
    policy: Policy = "keep"
    once: tuple[str, int] | None = None
    id: str | None = None
    ended: Mapping[str, str] = {}
    before: Sequence[str] = ()


class Place(NamedTuple):
    """A job that was accepted: its id, where its spec stands, and the command that submitted it.

    duplicate  the job was there before, and stands for this one
    """

    id: str
    position: str
    duplicate: Duplicate | None
    command: str
