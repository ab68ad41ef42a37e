"""What a serving process counts of itself: every event of its log, for Prometheus.

The words are those of the log, so whoever sees a figure rise finds the lines. Nothing of a line
but its event and level is kept.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_PACKAGES = ("cloud_sync", "fare")


class EventCounter(logging.Handler):
    """Counts what is logged, in a registry of its own."""

    def __init__(self, divergences: Callable[[], int]) -> None:
        """Start from nothing.

        Args:
            divergences: Returns how many replicas have differed at an equal revision.
        """
        super().__init__()
        self.registry = CollectorRegistry()
        self._events = Counter(
            "gateline_events",
            "Events that this process has logged.",
            ("event", "level"),
            registry=self.registry,
        )
        self.registry.register(_Divergences(divergences))

    def emit(self, record: logging.LogRecord) -> None:
        """Count one event; `msg` is its word as written, without any field."""
        self._events.labels(str(record.msg), record.levelname.lower()).inc()


class _Divergences(Collector):
    """Tells the count from the first scrape on: an alarm on a figure that is not there is none."""

    def __init__(self, divergences: Callable[[], int]) -> None:
        self._divergences = divergences

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "gateline_divergences",
            "Replicas that differed from their view at the same revision.",
        )
        family.add_metric([], self._divergences())
        yield family


@contextmanager
def counted(listen: str, divergences: Callable[[], int]) -> Iterator[int]:
    """Count this process's events and serve the counts; yield the port.

    Args:
        listen: `host:port`; port 0 takes a free one. Only counts are served, at any path.
        divergences: Returns how many replicas have differed at an equal revision.

    Raises:
        OSError: The address is taken.
    """
    counter = EventCounter(divergences)
    host, _, port = listen.rpartition(":")
    server, thread = start_http_server(int(port), host or "127.0.0.1", registry=counter.registry)
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    for logger in loggers:
        logger.addHandler(counter)
    try:
        yield int(server.server_port)
    finally:
        for logger in loggers:
            logger.removeHandler(counter)
        server.shutdown()
        server.server_close()
        thread.join()
