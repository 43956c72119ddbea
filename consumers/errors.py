"""What can be wrong with handlers before any job runs."""

from ..core.errors import MillstreamError


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
