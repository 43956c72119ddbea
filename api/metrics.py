"""Counters for Prometheus. Labels are few and known: nothing a client chooses becomes one.

One event loop counts, so plain numbers do; prometheus_client's own, with a lock for each, cost as
much as the rest of a submission's bookkeeping. They become its families when they are asked for.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

CONTENT_TYPE = "text/plain; version=0.0.4"
"""Of the text format; Litestar adds the charset."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What one API process counts."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._submitted = 0
        self._lag: dict[str, int] = {}
        self._halted: dict[str, bool] = {}
        self._up: dict[str, bool] = {}
        self._nowhere: dict[str, int] = {}
        self._lost: dict[str, bool] = {}
        self._missing: dict[str, int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def answered(self, method: str, route: str, status: int, started: float) -> None:
        """Count a request; `started` is of time.perf_counter."""
        seconds = time.perf_counter() - started
        self._requests[method, route, status] += 1
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def submitted(self, jobs: int) -> None:
        """Count jobs that were accepted."""
        self._submitted += jobs

    def lag(self, partition: str, events: int | None, *, halted: bool) -> None:
        """Note how far the tables are behind a log; None: it cannot be told."""
        self._halted[partition] = halted
        if events is None:
            self._lag.pop(partition, None)
        else:
            self._lag[partition] = events

    def lost(self, partition: str, *, lost: bool) -> None:
        """Note whether a log is lost."""
        self._lost[partition] = lost

    def missing(self, partition: str, events: int) -> None:
        """Note how many events of a log are nowhere."""
        self._missing[partition] = events

    def up(self, dependency: str, *, answers: bool) -> None:
        """Note whether a dependency answers."""
        self._up[dependency] = answers

    def conserved(self, **counts: int) -> None:
        """Note how many jobs go nowhere, by kind."""
        self._nowhere = counts

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus_client asks for them."""
        requests = CounterMetricFamily(
            "millstream_api_requests",
            "Requests answered, by route and status.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), count in self._requests.items():
            requests.add_metric((method, route, str(status)), count)
        yield requests
        yield self._durations()
        yield CounterMetricFamily(
            "millstream_api_submitted_jobs", "Jobs accepted.", value=self._submitted
        )
        yield _gauge(
            "millstream_projection_lag_events",
            "Events in the log that the tables do not hold yet.",
            "partition",
            self._lag,
        )
        yield _gauge(
            "millstream_projection_halted",
            "1 where the projection stopped and waits for an operator.",
            "partition",
            self._halted,
        )
        yield _gauge(
            "millstream_jobs_astray", "Jobs that go nowhere, see /audit.", "kind", self._nowhere
        )
        yield _gauge(
            "millstream_log_lost",
            "1 where a queue's log was lost: it is halted and waits for a restore.",
            "partition",
            self._lost,
        )
        yield _gauge(
            "millstream_log_missing_events",
            "Events that were declared to be in neither the archive nor the log.",
            "partition",
            self._missing,
        )
        yield _gauge(
            "millstream_dependency_up", "1 if the dependency answers.", "dependency", self._up
        )

    def _durations(self) -> Metric:
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(
            "millstream_api_request_seconds",
            "From request to answer; long polls included.",
            buckets=buckets,
            sum_value=self._seconds,
        )


def _gauge(name: str, text: str, label: str, values: dict[str, int] | dict[str, bool]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family
