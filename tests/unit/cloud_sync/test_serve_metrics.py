"""What a serving process counts of itself."""

import logging

import httpx

from cloud_sync.adapters.console.serve_metrics import counted
from cloud_sync.adapters.grpc.counts import Counts
from fare.log import say


def read(port: int) -> str:
    """Scrape the counts."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def test_counts_events_by_their_words() -> None:
    """An event of the log is a figure of the same name and level; its fields are not kept."""
    log = logging.getLogger("cloud_sync.somewhere")
    log.setLevel(logging.INFO)
    with counted("127.0.0.1:0", lambda: 0) as port:
        say(log, "edge_joined", edge_id="edge-secret")
        say(log, "edge_joined", edge_id="edge-2")
        say(log, "tap_log_failed", level=logging.ERROR, detail="gone")
        told = read(port)

    assert 'gateline_events_total{event="edge_joined",level="info"} 2.0' in told
    assert 'gateline_events_total{event="tap_log_failed",level="error"} 1.0' in told
    assert "secret" not in told


def test_each_process_counts_for_itself() -> None:
    """Two counters of one process share nothing, and none counts when it is over."""
    log = logging.getLogger("cloud_sync.somewhere")
    log.setLevel(logging.INFO)
    with counted("127.0.0.1:0", lambda: 0):
        say(log, "edge_joined")
    with counted("127.0.0.1:0", lambda: 0) as port:
        assert "edge_joined" not in read(port)


def test_divergences_are_told_from_the_start() -> None:
    """The figure is there before anything differs, and follows the count of the streams."""
    counts = Counts()
    with counted("127.0.0.1:0", lambda: counts.divergences) as port:
        before = read(port)
        counts.divergences += 2
        after = read(port)

    assert "gateline_divergences_total 0.0" in before
    assert "gateline_divergences_total 2.0" in after
