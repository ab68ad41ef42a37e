"""What the console's pages show, made from the ports' values; knows neither web nor database."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud_sync.fleet.findings import FleetConfig, Found, Norm, Severity, findings, norm, worst
from cloud_sync.fleet.health import Answers, EdgeHealth, FleetNode, Report, answered, lately

_ORDER = list(Severity)
_TONES = {Severity.CRITICAL: "stop", Severity.WARNING: "code", Severity.OK: "go"}
_WIDE, _HIGH = 240, 48
"""Size of a curve's drawing, in its own units."""


@dataclass(frozen=True, slots=True)
class Line:
    """One node of the overview."""

    node: FleetNode
    found: tuple[Found, ...]
    """The worst first."""
    worst: Severity
    answers: Answers
    """Of all its lanes since its start."""

    @property
    def health(self) -> EdgeHealth | None:
        """What the node said last."""
        return None if self.node.report is None else self.node.report.health


@dataclass(frozen=True, slots=True)
class Overview:
    """The fleet on one page."""

    lines: tuple[Line, ...]
    """The worst first, then by station and name."""
    counts: dict[Severity, int]
    """Nodes by their worst finding."""
    taps_waiting: int
    answers: Answers
    """Of all nodes since their starts."""
    usual: Norm


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure of a node over its kept reports, ready to be drawn."""

    title: str
    points: str
    """Of an SVG polyline, in a drawing 240 wide and 48 high; empty where nothing was told."""
    lowest: float
    highest: float
    last: float
    unit: str


def overview(nodes: Sequence[FleetNode], now: datetime, config: FleetConfig) -> Overview:
    """Return the fleet, the worst node first.

    Args:
        nodes: All admitted nodes.
        now: Aware UTC.
        config: The thresholds.
    """
    usual = norm(nodes)
    lines = [line(node, now, config, usual) for node in nodes]
    lines.sort(key=lambda one: _ORDER.index(one.worst))
    told = [one.health for one in lines if one.health is not None]
    return Overview(
        tuple(lines),
        dict.fromkeys(Severity, 0) | Counter(one.worst for one in lines),
        sum(health.outbox_depth for health in told),
        answered(lane for health in told for lane in health.lanes),
        usual,
    )


def line(node: FleetNode, now: datetime, config: FleetConfig, usual: Norm) -> Line:
    """Return one node with what is wrong with it."""
    found = findings(node, now, config, usual)
    lanes = node.report.health.lanes if node.report is not None else ()
    return Line(node, found, worst(found), answered(lanes))


def figures(board: Overview) -> dict[str, object]:
    """Return what makes an open overview fetch itself again when it changes."""
    return {
        "nodes": {
            one.node.standing.edge_id: [
                one.worst.value,
                [each.finding.value for each in one.found],
                one.node.standing.lag,
                None if one.node.report is None else one.node.report.received_at.isoformat(),
            ]
            for one in board.lines
        },
        "taps_waiting": board.taps_waiting,
    }


def curves(history: Sequence[Report]) -> tuple[Curve, ...]:
    """Return what a node's page draws of the last two hours.

    Args:
        history: Oldest first.
    """
    told = [report.health for report in history]
    times = [report.received_at.timestamp() for report in history]
    shares = [lately(history[max(place - 9, 0) : place + 1]) for place in range(1, len(history))]
    by_face = [100 * (one.share(one.by_face) or 0.0) for one in shares]
    series: tuple[tuple[str, list[float], str], ...] = (
        ("Taps waiting", [float(health.outbox_depth) for health in told], ""),
        ("Clock error", [float(health.clock_error_ms) for health in told], "ms"),
        ("Templates, first tier", [float(health.first_tier) for health in told], ""),
        ("By face, last 10 min", by_face, "%"),
        ("Free disk", [health.disk_free_bytes / 1024**3 for health in told], "GiB"),
    )
    return tuple(
        _curve(title, times[-len(values) :], values, unit)
        for title, values, unit in series
        if values
    )


def _curve(title: str, times: Sequence[float], values: Sequence[float], unit: str) -> Curve:
    low, high = min(values), max(values)
    begin, length = times[0], max(times[-1] - times[0], 1.0)
    middle, height = (low + high) / 2, max(high - low, 1e-9)
    points = (
        f"{_WIDE * (at - begin) / length:.1f},{_HIGH * (0.5 - (value - middle) / height):.1f}"
        for at, value in zip(times, values, strict=True)
    )
    return Curve(title, " ".join(points), low, high, values[-1], unit)


def tone(severity: Severity) -> str:
    """Return the stylesheet's class of a severity: stop, code, go, or none."""
    return {Severity.CRITICAL: "stop", Severity.WARNING: "code", Severity.OK: "go"}.get(
        severity, ""
    )


def words(names: Iterable[str]) -> str:
    """Return words in snake case as they are read: `camera_fault` is `camera fault`."""
    return ", ".join(name.replace("_", " ") for name in names)
