"""Every error that Millstream raises on purpose descends from `MillstreamError`."""

from __future__ import annotations


class MillstreamError(Exception):
    """Base of all our errors; its text says what was expected and what was found."""


class ConfigError(MillstreamError):
    """A setting that cannot be used: names the setting, what was expected, and what was given."""

    def __init__(self, setting: str, expected: str, given: object) -> None:
        super().__init__(f"{setting}: expected {expected}, got: {given!r}")
        self.setting = setting
        self.expected = expected
        self.given = given
