"""The time of a log in memory: it stands still until somebody steps it."""

from __future__ import annotations


class Clock:
    """`now` in ms since 1970."""

    def __init__(self, now: int) -> None:
        self.now = now

    def step(self, ms: int) -> None:
        """Let time pass; it never goes back."""
        if ms < 0:
            raise ValueError(f"clock: expected to be stepped by 0 ms or more, got {ms}")
        self.now += ms
