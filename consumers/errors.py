"""What can be wrong with handlers, before any job runs and in their steps."""

from ..core.errors import MillstreamError
from .verdicts import Fail


class HandlerError(MillstreamError):
    """A handler that cannot be registered: names it, what was expected, and what was given."""

    def __init__(self, handler: str, expected: str, given: object) -> None:
        super().__init__(f"handler {handler}: expected {expected}, got: {given}")
        self.expected = expected
        self.given = given


class AppError(MillstreamError):
    """A module or file that should hold handlers and cannot be used."""

    def __init__(self, app: str, expected: str, given: object) -> None:
        super().__init__(f"app {app!r}: expected {expected}, got: {given}")
        self.app = app


class StepError(Fail):
    """A step that breaks a rule no further attempt can keep: the job fails for good.

    Names the step, what was expected, and what was found.
    """

    def __init__(self, step: str, expected: str, given: object) -> None:
        super().__init__(f"{step}: expected {expected}, got {given}")


class ProgressError(MillstreamError, ValueError):
    """What a handler told is no progress: says what was expected, and what was given."""

    def __init__(self, expected: str, given: object) -> None:
        super().__init__(f"progress: expected {expected}, got {repr(given)[:100]}")


class LeaseLost(MillstreamError):
    """The job is no longer this attempt's to run: another worker has it, or it has ended."""

    def __init__(self, job: str, step: str) -> None:
        super().__init__(f"{step} of job {job}: expected a lease that lasts, this one is over")
