"""What is wrong with a job that stands where it does: pure.

lost     the tables say that it lives, and Redis knows nothing of it
doubled  it could run twice at once, or was told to end twice
stuck    it is due, and nothing known holds it back
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from ...core.examining import Place
from ...core.workers import Seen

Kind = Literal["lost", "doubled", "stuck"]
KINDS: tuple[Kind, ...] = ("lost", "doubled", "stuck")

Hands = Literal["none", "full", "free"]
"""Of the workers that serve a queue: none are there, all slots are taken, or some are free."""

LOST = "the tables say that it lives, Redis knows nothing of it"
ASTRAY = "it is not where its state says: no ready entry, no due time, no gate"
TWICE = "it has two ready entries: it could run twice at once"
ENDED_TWICE = "it was told to end a second time"
OVERDUE = "its lease was not renewed for long, and nobody took it back"


class Situation(NamedTuple):
    """What explains that jobs of a queue wait. `still_ms`: for how long none was started."""

    now: int
    paused: bool
    hands: Hands
    still_ms: int


def hands_of(queue: str, workers: Iterable[Seen]) -> Hands:
    """What workers a queue has."""
    found: Hands = "none"
    for seen in workers:
        if seen.condition == "serving" and queue in seen.report.queues:
            if seen.report.running < seen.report.concurrency:
                return "free"
            found = "full"
    return found


def stuck(place: Place, at: Situation, bound_ms: int) -> str | None:
    """Why a job is stuck; None: it is not, or it is known what it waits for."""
    if place.where == "astray":
        return ASTRAY
    if place.where not in ("ready", "due") or at.now - place.at <= bound_ms:
        return None
    if at.hands != "free" or at.still_ms <= bound_ms:
        return None
    late = f"{(at.now - place.at) / 1000:.0f} s"
    if place.where == "due":
        return f"it was due {late} ago, and was not made ready"
    if at.paused:
        return None
    return f"it has been ready for {late}, and no worker was given it though some have room"
