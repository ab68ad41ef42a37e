"""What a node tells the cloud of itself: counts and states, never who passed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloud_sync.fleet.health import EdgeHealth, LaneHealth
from edge_gate.answer import Answer
from edge_gate.moment import Moment
from edge_gate.status import LaneStatus, StationStatus
from edge_gate.tapping import Place
from fare.tap import Medium


class Tally:
    """How each lane has answered since the node's start; a lane's own thread alone adds to it."""

    def __init__(self, started_at: datetime) -> None:
        """Start from nothing.

        Args:
            started_at: Now, aware UTC.
        """
        self.started_at = started_at
        self._counts: dict[str, tuple[int, int, int]] = {}

    def note(self, place: Place, answer: Answer) -> None:
        """Count an answer; a second opening on the same tap is none."""
        if answer.again:
            return
        face, code, refused = self.of(place.lane_id)
        if answer.reason is not None:
            refused += 1
        elif answer.medium is Medium.FACE:
            face += 1
        else:
            code += 1
        self._counts[place.lane_id] = (face, code, refused)

    def of(self, lane_id: str) -> tuple[int, int, int]:
        """Return a lane's answers: opened by face, by code, and refused."""
        return self._counts.get(lane_id, (0, 0, 0))


@dataclass(frozen=True, slots=True)
class Means:
    """What a report has that the staff page does not show."""

    model_digest: str
    """Name and digest of the embedder; empty when it was refused."""
    software: str
    protocol: int
    disk_free_bytes: int
    oldest_tap: datetime | None
    """When the oldest tap that waits was made, aware UTC; None when none waits."""
    frame_ages_s: Mapping[str, float | None]
    """Per lane that is told of, seconds since its camera's last frame. A lane that only takes
    pictures from a browser is there to be tried, and is left out."""


def node_health(status: StationStatus, tally: Tally, means: Means, now: Moment) -> EdgeHealth:
    """Return a report.

    Args:
        status: What the staff page shows.
        tally: The answers so far.
        means: The rest.
        now: The node's clocks.
    """
    waited = None if means.oldest_tap is None else now.wall - means.oldest_tap
    return EdgeHealth(
        edge_id=status.edge_id,
        station_id=status.station_id,
        told_at=now.wall,
        started_at=tally.started_at,
        revision=status.gallery.revision,
        lease_until=status.gallery.lease_until,
        certificate_from=status.certificate.issued,
        certificate_until=status.certificate.until,
        outbox_depth=status.outbox_depth,
        outbox_age_s=None if waited is None else max(waited.total_seconds(), 0.0),
        first_tier=status.gallery.templates,
        second_tier=status.gallery.second_templates,
        model_digest=means.model_digest,
        protocol=means.protocol,
        software=means.software,
        clock_error_ms=now.clock_error_ms,
        deny_list_age_s=status.orders.deny_list_age_s,
        disk_free_bytes=means.disk_free_bytes,
        lanes=tuple(
            _lane(lane, tally, means) for lane in status.lanes if lane.id in means.frame_ages_s
        ),
    )


def _lane(lane: LaneStatus, tally: Tally, means: Means) -> LaneHealth:
    face, code, refused = tally.of(lane.id)
    return LaneHealth(
        lane_id=lane.id,
        camera=lane.view.camera.value,
        frame_age_s=means.frame_ages_s.get(lane.id),
        shut=lane.view.shut.value if lane.view.shut else "",
        by_face=face,
        by_code=code,
        refused=refused,
    )
