"""Counters for Prometheus. Labels are few and known: nothing a client chooses becomes one."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4"
"""Of the text format; Litestar adds the charset."""


class Metrics:
    """What one API process counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "millstream_api_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "millstream_api_request_seconds",
            "From request to answer; long polls included.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        submissions = Counter(
            "millstream_api_submitted_jobs", "Jobs accepted.", registry=self.registry
        )
        self.submitted = submissions.inc
        self._lag = Gauge(
            "millstream_projection_lag_events",
            "Events in the log that the tables do not hold yet.",
            ("partition",),
            registry=self.registry,
        )
        self._halted = Gauge(
            "millstream_projection_halted",
            "1 where the projection stopped and waits for an operator.",
            ("partition",),
            registry=self.registry,
        )
        self._up = Gauge(
            "millstream_dependency_up",
            "1 if the dependency answers.",
            ("dependency",),
            registry=self.registry,
        )
        self._children: dict[tuple[str, str, int], Any] = {}

    def answered(self, method: str, route: str, status: int, started: float) -> None:
        """Count a request; `started` is of time.perf_counter."""
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(method, route, str(status))
        child.inc()
        self._seconds.observe(time.perf_counter() - started)

    def lag(self, partition: str, events: int | None, *, halted: bool) -> None:
        """Note how far the tables are behind a log."""
        if events is not None:
            self._lag.labels(partition).set(events)
        self._halted.labels(partition).set(int(halted))

    def up(self, dependency: str, *, answers: bool) -> None:
        """Note whether a dependency answers."""
        self._up.labels(dependency).set(int(answers))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
