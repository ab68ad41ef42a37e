"""The fleet for Prometheus: read from the database at each scrape, nothing kept in between.

Names and labels are those of docs/fleet.md; a test keeps the two equal. No label names a rider.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from cloud_sync.fleet.findings import FleetConfig, Severity, findings, norm, worst
from cloud_sync.fleet.health import CAMERA_OK, EdgeHealth, FleetLog, FleetNode

MEDIA_TYPE = CONTENT_TYPE_LATEST
_NODE = ("station", "edge")
_RUNS = ("model_digest", "software", "protocol")
_Figure = Callable[[FleetNode, datetime], float | None]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure a node."""

    name: str
    says: str
    of: _Figure
    """Returns the figure; None where the node has none."""


def _told(
    of: Callable[[EdgeHealth], float | None],
) -> Callable[[FleetNode, datetime], float | None]:
    """Return a figure of the node's own report."""

    def figure(node: FleetNode, now: datetime) -> float | None:
        del now
        return None if node.report is None else of(node.report.health)

    return figure


def _since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()


def _until(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (moment - now).total_seconds()


def _certificate(node: FleetNode) -> tuple[datetime | None, datetime | None]:
    if node.report is None:
        return None, None
    return node.report.health.certificate_from, node.report.health.certificate_until


GAUGES = (
    Gauge(
        "gateline_report_age_seconds",
        "Since the node's last report.",
        lambda node, now: _since(node.report.received_at, now) if node.report else None,
    ),
    Gauge(
        "gateline_view_lag_revisions",
        "Revisions of the station's view that the node does not have on disk.",
        lambda node, _: node.standing.lag,
    ),
    Gauge(
        "gateline_lease_remaining_seconds",
        "Until the longest lease offered to the node ends; negative once it has.",
        lambda node, now: _until(node.standing.lease_until, now),
    ),
    Gauge(
        "gateline_certificate_age_seconds",
        "Since the node's certificate was made.",
        lambda node, now: _since(_certificate(node)[0], now),
    ),
    Gauge(
        "gateline_certificate_remaining_seconds",
        "Until the node's certificate ends; negative once it has.",
        lambda node, now: _until(_certificate(node)[1], now),
    ),
    Gauge(
        "gateline_outbox_taps",
        "Taps on the node's disk that the cloud has not acknowledged.",
        _told(lambda health: health.outbox_depth),
    ),
    Gauge(
        "gateline_outbox_age_seconds",
        "Since the oldest of them was made; 0 when none waits.",
        _told(lambda health: health.outbox_age_s or 0.0),
    ),
    Gauge(
        "gateline_clock_error_seconds",
        "Distance of the node's wall clock from the cloud's time.",
        _told(lambda health: health.clock_error_ms / 1000),
    ),
    Gauge(
        "gateline_deny_list_age_seconds",
        "Since the node's deny list was last known to be complete.",
        _told(lambda health: health.deny_list_age_s),
    ),
    Gauge(
        "gateline_disk_free_bytes",
        "Free on the disk of the node's outbox.",
        _told(lambda health: health.disk_free_bytes),
    ),
)
"""Every metric with a figure a node."""


class FleetCollector(Collector):
    """Gives the fleet's metrics, made anew from the log."""

    def __init__(
        self, fleet: FleetLog, *, clock: Callable[[], datetime], config: FleetConfig | None = None
    ) -> None:
        """Take what is read.

        Args:
            fleet: The nodes.
            clock: Returns now, aware UTC.
            config: The thresholds of findings.
        """
        self._fleet = fleet
        self._clock = clock
        self._config = config or FleetConfig()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask the database to know the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics of this moment.

        Raises:
            FleetLogFailed: Nothing can be read; the scrape fails, which Prometheus shows.
        """
        nodes, now = self._fleet.nodes(), self._clock()
        for gauge in GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.says, labels=_NODE)
            for node in nodes:
                value = gauge.of(node, now)
                if value is not None:
                    family.add_metric(_names(node), value)
            yield family
        yield from _of_galleries(nodes)
        yield from _of_lanes(nodes)
        yield from _of_findings(nodes, now, self._config)


def exposition(collectors: Iterable[Collector]) -> bytes:
    """Return what collectors give in Prometheus' text format.

    Args:
        collectors: Read once; the registry lives as long as this call.

    Raises:
        FleetLogFailed: Nothing can be read.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


def _names(node: FleetNode) -> list[str]:
    return [node.standing.station_id, node.standing.edge_id]


def _of_galleries(nodes: Sequence[FleetNode]) -> Iterator[Metric]:
    templates = GaugeMetricFamily(
        "gateline_gallery_templates", "Templates that the node holds.", labels=(*_NODE, "tier")
    )
    runs = GaugeMetricFamily(
        "gateline_node_info", "1; what the node runs.", labels=(*_NODE, *_RUNS)
    )
    for node in nodes:
        if node.report is not None:
            health = node.report.health
            templates.add_metric([*_names(node), "1"], health.first_tier)
            templates.add_metric([*_names(node), "2"], health.second_tier)
            said = [health.model_digest, health.software, str(health.protocol)]
            runs.add_metric([*_names(node), *said], 1)
    yield templates
    yield runs


def _of_lanes(nodes: Sequence[FleetNode]) -> Iterator[Metric]:
    lane = (*_NODE, "lane")
    sees = GaugeMetricFamily(
        "gateline_camera_ok", "1 when the lane's camera sees.", labels=(*lane, "state")
    )
    age = GaugeMetricFamily(
        "gateline_camera_frame_age_seconds", "Since the camera's last frame.", labels=lane
    )
    answers = CounterMetricFamily(
        "gateline_answers",
        "Answers of the lane since the node's start, by outcome: by_face, by_code, refused.",
        labels=(*lane, "outcome"),
    )
    for node in nodes:
        for one in node.report.health.lanes if node.report is not None else ():
            names = [*_names(node), one.lane_id]
            sees.add_metric([*names, one.camera], float(one.camera == CAMERA_OK))
            if one.frame_age_s is not None:
                age.add_metric(names, one.frame_age_s)
            answers.add_metric([*names, "by_face"], one.by_face)
            answers.add_metric([*names, "by_code"], one.by_code)
            answers.add_metric([*names, "refused"], one.refused)
    yield from (sees, age, answers)


def _of_findings(
    nodes: Sequence[FleetNode], now: datetime, config: FleetConfig
) -> Iterator[Metric]:
    one = GaugeMetricFamily(
        "gateline_finding",
        "1 while something is wrong with the node.",
        labels=(*_NODE, "finding", "severity"),
    )
    counts = GaugeMetricFamily(
        "gateline_nodes", "Nodes by their worst finding.", labels=("severity",)
    )
    usual, by_worst = norm(nodes), dict.fromkeys(Severity, 0)
    for node in nodes:
        found = findings(node, now, config, usual)
        by_worst[worst(found)] += 1
        # Two lanes with the same fault are one series.
        for finding, severity in sorted({(each.finding, each.severity) for each in found}):
            one.add_metric([*_names(node), finding.value, severity.value], 1)
    for severity, count in by_worst.items():
        counts.add_metric([severity.value], count)
    yield from (one, counts)
