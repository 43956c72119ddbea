"""What a handler can say besides returning a result or raising any other exception.

Each is raised, and may as well be returned. To name a cause: ``raise Retry(after=60) from error``.
"""

from datetime import datetime, timedelta

Seconds = float | int | timedelta


class Verdict(Exception):
    """Base of the verdicts a handler can raise."""


class Retry(Verdict):
    """This attempt failed; try again `after` seconds (by default by the job's backoff).

    It counts as an attempt: after the last one the job has failed.
    """

    def __init__(self, reason: str = "", *, after: Seconds | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = None if after is None else _seconds("Retry(after=…)", after)


class Snooze(Verdict):
    """Nothing to do yet: call again after `seconds`, or at `until`. It costs no attempt.

    `until` must say its time zone; it is compared with the server's clock, not this machine's.
    """

    def __init__(self, seconds: Seconds | None = None, *, until: datetime | None = None) -> None:
        if (seconds is None) == (until is None):
            raise TypeError(
                "Snooze: expected either seconds or until, got "
                + ("neither" if seconds is None else "both")
            )
        if until is not None and until.tzinfo is None:
            raise ValueError(f"Snooze(until=…): expected a time with its zone, got {until!r}")
        super().__init__(seconds if until is None else until)
        self.seconds = None if seconds is None else _seconds("Snooze", seconds)
        self.until = until


class Fail(Verdict):
    """Give the job up: no further attempt can help."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Asleep(BaseException):
    """Ends a run of a handler that sleeps. Raised by `ctx.sleep`, never by handlers.

    No Exception, so that a handler's own `except Exception` lets it through.
    """


def _seconds(what: str, given: Seconds) -> float:
    value = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if not 0 <= value <= 366 * 86400:
        raise ValueError(f"{what}: expected 0 seconds to 366 days, got {given!r}")
    return value
