"""What a station node tells of itself, and what the cloud knows of it beside that.

The port is `FleetLog`. What an operator must do about it is decided in `findings`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cloud_sync.stream.view import EdgeNode

HISTORY_STEP_S = 60
"""Between two kept reports of a node, seconds: one in six, enough to see what came first."""
HISTORY_STEPS = 120
"""Kept reports of a node: the last two hours."""


CAMERA_OK = "ok"
"""The word of `edge_gate.watch.CameraState` for a camera that sees."""


class FleetLogFailed(Exception):
    """The database did not answer."""


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """One lane of a node."""

    lane_id: str
    camera: str
    """A word of `edge_gate.watch.CameraState`."""
    frame_age_s: float | None
    """Seconds since its camera's last frame; None before the first."""
    shut: str
    """A word of `edge_gate.reason.DenyReason`: why no face opens; empty when one can."""
    by_face: int
    """Answers since the node's start that opened for a face; a second opening on one tap is not
    counted."""
    by_code: int
    """The same for a code."""
    refused: int
    """Answers since the node's start that did not open."""


@dataclass(frozen=True, slots=True)
class EdgeHealth:
    """What one node tells of itself; whose it is comes from the caller's identity."""

    edge_id: str
    station_id: str
    told_at: datetime
    """By the node's own clock, aware UTC."""
    started_at: datetime
    """When its process began, by the same clock; counts start from 0 with it."""
    revision: int
    """Of the view that its gates search; 0 before the first."""
    lease_until: datetime | None
    """By the cloud's clock; None when it never had one."""
    certificate_from: datetime | None
    """Begin of the certificate in use; None where it has none."""
    certificate_until: datetime | None
    outbox_depth: int
    """Taps that wait for the cloud."""
    outbox_age_s: float | None
    """Seconds since the oldest of them was made; None when none waits."""
    first_tier: int
    """Templates whose face opens by itself."""
    second_tier: int
    """Templates on disk with their own, stricter threshold."""
    model_digest: str
    """Name and digest of the embedder, e.g. `fr-feature@5ad2b2c1f0e9`; empty when refused."""
    protocol: int
    software: str
    """The version of the distribution."""
    clock_error_ms: int
    """Distance of its wall clock from the cloud's time, milliseconds."""
    deny_list_age_s: float | None
    """Seconds since the deny list was last known to be complete; None when it has none."""
    disk_free_bytes: int
    lanes: tuple[LaneHealth, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the cloud itself knows of a node, whatever the node says."""

    edge_id: str
    station_id: str
    head_rev: int
    """Of the station's view."""
    acked_rev: int
    """What the node has on disk; 0 when that is of another history."""
    lease_until: datetime | None
    """The longest lease ever offered to it."""
    lease_s: int
    """How long a lease of this station is, seconds."""
    doubted_taps: int = 0
    """Taps of the last day that claim an exemption that no order explains."""

    @property
    def lag(self) -> int:
        """Revisions that the node does not have yet."""
        return max(self.head_rev - self.acked_rev, 0)


@dataclass(frozen=True, slots=True)
class Report:
    """A node's word and when it came."""

    health: EdgeHealth
    received_at: datetime
    """By the cloud's clock, aware UTC."""


@dataclass(frozen=True, slots=True)
class FleetNode:
    """One admitted node as the cloud sees it."""

    standing: Standing
    report: Report | None
    """The latest; None when it never came."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How those who came to a lane, or to a station, were answered."""

    by_face: int = 0
    by_code: int = 0
    refused: int = 0

    @property
    def total(self) -> int:
        """All answers."""
        return self.by_face + self.by_code + self.refused

    def share(self, count: int) -> float | None:
        """Return a count as a share of all; None where there were none."""
        return count / self.total if self.total else None


class FleetLog(Protocol):
    """The latest report of every node and some of the ones before it."""

    def report(self, node: EdgeNode, health: EdgeHealth, now: datetime) -> None:
        """Keep a report as the node's latest.

        Args:
            node: Who calls, proven; `health` names nobody else.
            health: What it says.
            now: By the cloud's clock, aware UTC.

        Raises:
            FleetLogFailed: It was not kept; the next one comes in seconds.
        """
        ...

    def nodes(self) -> tuple[FleetNode, ...]:
        """Return all admitted nodes, by station and name.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        ...

    def history(self, edge_id: str, now: datetime) -> tuple[Report, ...]:
        """Return a node's reports of the last two hours, one a minute at most, oldest first.

        Args:
            edge_id: The node.
            now: Aware UTC.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        ...


def slot(moment: datetime) -> int:
    """Return where a report of a moment is kept: it takes the place of one two hours older.

    Args:
        moment: Aware.
    """
    return int(moment.timestamp()) // HISTORY_STEP_S % HISTORY_STEPS


def answered(lanes: Iterable[LaneHealth]) -> Answers:
    """Add up how lanes have answered since their node's start."""
    lanes = tuple(lanes)
    return Answers(
        sum(lane.by_face for lane in lanes),
        sum(lane.by_code for lane in lanes),
        sum(lane.refused for lane in lanes),
    )


def lately(history: Sequence[Report]) -> Answers:
    """Return how a node has answered over its kept reports, or since its start if that is later.

    Args:
        history: Oldest first.
    """
    if not history:
        return Answers()
    last = history[-1].health
    same_run = [one.health for one in history if one.health.started_at == last.started_at]
    now, then = answered(last.lanes), answered(same_run[0].lanes)
    if len(same_run) == len(history) > 1:
        return Answers(
            now.by_face - then.by_face, now.by_code - then.by_code, now.refused - then.refused
        )
    return now
