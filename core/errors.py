"""Every error that Millstream raises on purpose descends from `MillstreamError`."""

from __future__ import annotations

from collections.abc import Iterable


class MillstreamError(Exception):
    """Base of all our errors; its text says what was expected and what was found."""


class ConfigError(MillstreamError):
    """A setting that cannot be used: names the setting, what was expected, and what was given."""

    def __init__(self, setting: str, expected: str, given: object) -> None:
        super().__init__(f"{setting}: expected {expected}, got: {given!r}")
        self.setting = setting
        self.expected = expected
        self.given = given


class InvalidName(MillstreamError):
    """A name that cannot be used in keys and addresses."""

    def __init__(self, what: str, given: str, expected: str) -> None:
        super().__init__(f"{what}: expected {expected}, got: {given!r}")
        self.expected = expected
        self.given = given


class UnknownQueue(MillstreamError):
    """A queue that was never used: names those that were."""

    def __init__(self, given: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"queue: expected one that was used before ({names}), got: {given!r}")


class InvalidSchedule(MillstreamError):
    """A schedule that cannot be: names the field, and what was expected."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"schedule: {field}: {message}")
        self.field = field
        self.message = message


class InvalidCursor(MillstreamError, ValueError):
    """A cursor that no list gave."""

    def __init__(self, given: str) -> None:
        super().__init__(f"cursor: expected a next_cursor of a list, got: {given!r}")
        self.given = given


class Unavailable(MillstreamError):
    """A server could not be reached or did not answer; what was asked may have been done."""


class TablesUnavailable(Unavailable):
    """The same of PostgreSQL, whose tables tell the past; jobs are taken and run without it."""


class LogLost(MillstreamError):
    """The log of a partition is gone or has gone back: nothing may be appended before a restore."""


class GroupLost(MillstreamError):
    """A consumer group is gone; `PartitionQueue.mend` makes it again."""


class MemoryFull(MillstreamError):
    """Redis has reached its memory bound: it takes no new jobs, but running ones can finish."""


class IdTaken(MillstreamError):
    """A job of that id lives already."""


class QueueDraining(MillstreamError):
    """The queue takes no jobs until it is resumed; nothing was done."""


class LevelRefused(MillstreamError):
    """A level of acknowledgement that the servers cannot give; `lasting`: not in this setup."""

    def __init__(self, level: str, missing: str, *, lasting: bool = True) -> None:
        super().__init__(f"acknowledgement {level} cannot be given: {missing}")
        self.missing = missing
        self.lasting = lasting


class Unconfirmed(MillstreamError):
    """What was submitted did not reach the level asked for in time, as far as can be told."""


class ServerUnfit(MillstreamError):
    """A server is set up so that it could lose what it was given."""


class UnknownEvent(MillstreamError):
    """The log holds an event of a type this release does not know."""

    def __init__(self, position: str, type: str) -> None:
        super().__init__(f"event at {position}: expected a known type, got: {type!r}")


class UnreadableEvent(MillstreamError):
    """The body of an event does not fit its type."""

    def __init__(self, position: str, type: str, fault: str) -> None:
        super().__init__(f"event {type} at {position} cannot be read: {fault}")


class IllegalTransition(MillstreamError):
    """An event that cannot follow what came before it."""

    def __init__(self, position: str, job: str, found: str, event: str) -> None:
        super().__init__(f"event at {position}: {event} cannot follow {found} of job {job}")


class Behind(MillstreamError):
    """Too much is not archived yet for what was asked; it will be, if a projector runs."""


class HistoryLost(MillstreamError):
    """Events that would tell what was asked are not kept (any more)."""


class LogGap(MillstreamError):
    """The log does not go on where a reader stopped: events are missing."""

    def __init__(self, partition: str, expected: int, found: int | None) -> None:
        got = "the end of the log" if found is None else f"seq {found}"
        super().__init__(f"log of {partition}: expected seq {expected}, got: {got}")
        self.partition = partition
        self.expected = expected
        self.found = found
