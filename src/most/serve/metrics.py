"""What a server counts, for Prometheus. A registry a server, so that several can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
_FACTORS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.requests = Counter("most_requests", "Requests by endpoint and status.", ["endpoint", "status"], registry=r)
        self.cancelled = Counter("most_cancelled", "Requests whose client left or broke in.", registry=r)
        self.tokens = Counter("most_tokens", "Tokens made, text and units.", registry=r)
        self.running = Gauge("most_running", "Requests being computed.", registry=r)
        self.waiting = Gauge("most_waiting", "Requests waiting for a place in the batch.", registry=r)
        self.sessions = Gauge("most_sessions", "Open talks.", registry=r)
        self.first_audio = Histogram(
            "most_first_audio_seconds", "From a request to its first sound.", buckets=_SECONDS, registry=r
        )
        self.real_time = Histogram(
            "most_real_time_factor", "Seconds of work a second of sound made or heard.", ["endpoint"],
            buckets=_FACTORS, registry=r,
        )  # fmt: skip

    def page(self) -> bytes:
        return generate_latest(self.registry)
