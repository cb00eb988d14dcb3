"""Metrics for Prometheus: requests by route, searches by dataset and phase, jobs; summed over all worker processes."""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # set by `vecver serve` where there are several workers
_CHILDREN = 4096  # of a metric that are kept at hand: looking one up by its labels takes longer than counting
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counts and times what a service does."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Histogram(
            "vecver_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route", "method", "status"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._request_child = lru_cache(_CHILDREN)(self._requests.labels)
        self._phases = Histogram(
            "vecver_search_phase_seconds",
            "Phases of a search request: embed, propose, re-score, fetch.",
            ["dataset", "phase"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._phase_child = lru_cache(_CHILDREN)(self._phases.labels)
        self._queries = Counter("vecver_queries", "Queries answered.", ["dataset", "engine"], registry=registry)
        self._queries_child = lru_cache(_CHILDREN)(self._queries.labels)
        self._jobs = Histogram(
            "vecver_job_seconds",
            "Jobs that ended.",
            ["kind", "state"],
            registry=registry,
            buckets=(0.1, 1, 10, 60, 600, 3600, 36000),
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._request_child(route, method, str(status)).observe(seconds)

    def search(self, dataset: str, engine: str, queries: int, phases: dict[str, float]) -> None:
        """Count a search that was answered. `phases`: seconds by phase."""
        self._queries_child(dataset, engine).inc(queries)
        for phase, seconds in phases.items():
            self._phase_child(dataset, phase).observe(seconds)

    def job(self, kind: str, state: str, seconds: float) -> None:
        """Count a job that ended."""
        self._jobs.labels(kind, state).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """(the metrics in Prometheus's text format, its media type)."""
        if SHARED not in os.environ:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared), CONTENT_TYPE_LATEST
