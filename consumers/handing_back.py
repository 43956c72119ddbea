"""What a worker whose event loop is dead can still do for its jobs, from a thread.

The job whose handler blocks the loop is left to the expiry of its lease, which counts as a crash:
so one that blocks every worker ends in the dead letters. Its neighbours are handed back at no cost,
and verdicts that were given are sent.
"""

import asyncio
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable

import structlog

from ..core.errors import Unavailable
from ..core.events import JobReleased, body_of
from ..core.queue import Finish
from ..core.renewing import LeaseRenewer
from .attempts import Attempt
from .leases import snapshot

_log = structlog.stdlib.get_logger("millstream.worker")

_RELEASED = body_of(JobReleased("stalled"))

MOST_FRAMES = 20


def hand_back(
    verbs: LeaseRenewer,
    held: set[Attempt],
    given: Iterable[tuple[Attempt, Finish]],
    loop: asyncio.AbstractEventLoop,
) -> int:
    """Release what does not block the loop, and send verdicts `given`; how many were accepted.

    Never raises: whatever cannot be sent is left to the expiry of its lease.
    """
    verdicts: dict[str, list[Finish]] = defaultdict(list)
    for attempt, finish in given:
        verdicts[attempt.lease.partition].append(finish)
    attempts = snapshot(held)
    blocking = blockers(attempts, loop)
    for attempt in attempts:
        if not attempt.settled and attempt not in blocking:
            lease = attempt.lease
            released = Finish(lease.id, lease.fence, "released", _RELEASED)
            verdicts[lease.partition].append(released)
    done = 0
    for partition, finishes in verdicts.items():
        try:
            done += sum(verbs.finish(partition, finishes))
        except Unavailable as error:
            _log.error("jobs cannot be handed back: they run again once their leases expire",
                       error=str(error))  # fmt: skip
            break  # nor would the others be taken, and each would take its time
        except Exception as error:
            _log.error("jobs cannot be handed back", queue=partition, exc_info=error)
    return done


def blockers(attempts: Iterable[Attempt], loop: asyncio.AbstractEventLoop) -> set[Attempt]:
    """The attempt that blocks the loop; if that cannot be told, all that have begun on it.

    One has begun when its spec was read: the payload's own type may block, too.
    """
    begun = {one for one in attempts if one.spec and not (one.in_thread or one.apart)}
    current = asyncio.current_task(loop)
    return {one for one in begun if one.task is current and current is not None} or begun


def stack_of(thread: int) -> str:
    """Where a thread is; the innermost calls last."""
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    return "" if frame is None else "".join(traceback.format_stack(frame)[-MOST_FRAMES:])
