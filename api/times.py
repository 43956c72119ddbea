"""When a job is to run, as commands on jobs say it: the same bounds as for submissions."""

from datetime import datetime

from .problems import UNPROCESSABLE, Problem
from .resources import Resources
from .submission import Bounds, Unacceptable, run_at_of
from .submissions import bounds_of


def due_of(resources: Resources, run_at: datetime | None, delay: float | None) -> str:
    """The time as the verbs take it: '+N' in N ms, or ms since 1970. Raises Problem."""
    try:
        return _due_of(run_at, delay, bounds_of(resources))
    except Unacceptable as error:
        fault = error.fault()
        raise Problem(UNPROCESSABLE, f"{fault.message} (at {fault.path}).", [fault]) from None


def _due_of(run_at: datetime | None, delay: float | None, bounds: Bounds) -> str:
    if delay is None:
        if run_at is None:
            raise Unacceptable("run_at", "expected run_at or delay (0: now), got neither")
        at = run_at_of(run_at, bounds)
        return "+0" if at is None else str(at)
    if run_at is not None:
        raise Unacceptable("delay", "expected either run_at or delay, got both")
    delay_ms = round(delay * 1000)
    if delay_ms > bounds.horizon_ms:
        raise Unacceptable("delay", f"expected at most {bounds.horizon_ms // 1000} seconds")
    return f"+{delay_ms}"
