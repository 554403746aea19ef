"""Numbers about the daemon for Prometheus; no contents, no names of clients."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from assistant.session.engine import Load

SECONDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 8.0)


class Metrics:
    """One daemon's metrics, in a registry of their own."""

    def __init__(self, load: Callable[[], Load]) -> None:
        registry = self._registry = CollectorRegistry()
        self.sessions = Gauge(
            "vivavoce_sessions", "Sessions that are open or may be resumed", registry=registry
        )
        self.opened = Counter("vivavoce_sessions_opened", "Sessions opened", registry=registry)
        self.resumed = Counter("vivavoce_sessions_resumed", "Sessions resumed", registry=registry)
        self.rejected = Counter("vivavoce_rejected", "Connections refused", ["reason"], registry=registry)
        self.closed = Counter("vivavoce_closed", "Connections ended", ["code"], registry=registry)
        self.errors = Counter("vivavoce_errors", "Errors told to clients", ["code"], registry=registry)
        self.dropped_frames = Counter(
            "vivavoce_dropped_frames", "Camera frames that a newer one replaced", registry=registry
        )
        self.first_audio = Histogram(
            "vivavoce_first_audio_seconds",
            "From the user's last speech sample to the first sound sent",
            buckets=SECONDS,
            registry=registry,
        )
        self.endpoint = Histogram(
            "vivavoce_endpoint_seconds",
            "From the user's last speech sample to the decision that the turn is over",
            buckets=SECONDS,
            registry=registry,
        )
        self.barge_in = Histogram(
            "vivavoce_barge_in_seconds",
            "From the user's first speech sample during an answer to the order to stop",
            buckets=SECONDS,
            registry=registry,
        )
        queue = Gauge("vivavoce_engine_queue", "Commands that wait for the engine", registry=registry)
        queue.set_function(lambda: load().queued)
        factor = Gauge(
            "vivavoce_real_time_factor", "Compute time over sound time, since the start", registry=registry
        )
        factor.set_function(lambda: load().busy_s / max(load().sound_s, 1e-9) if load().sound_s else 0.0)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
