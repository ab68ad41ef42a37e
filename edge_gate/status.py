"""What a station node shows of itself to staff and riders: plain records, no faces, no codes."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud_sync.lease import is_usable
from edge_gate.answer import Answer
from edge_gate.holdings import Holdings
from edge_gate.moment import Moment
from edge_gate.pipeline import LaneView
from edge_gate.tapping import Place


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane, as of its last step."""

    id: str
    direction: str
    view: LaneView
    frames_per_s: float
    """Frames taken from the camera in the last second or so."""
    frames_dropped: int
    """Frames that a newer one replaced, since the start."""
    stages_ms: dict[str, float]
    """Milliseconds of each stage that the newest frame went through."""


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """The gallery and its worth."""

    templates: int
    """Riders whose face can be matched here."""
    foreign: int
    """Templates of other models, refused."""
    threshold: float | None
    """Score from which a face opens; None if none does at this size."""
    target_fpir: float
    leased: bool
    """Whether the lease is good now."""
    lease_until: datetime | None
    revision: int
    """Of the station's view that the gallery is; 0 before the first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer in the list of the last ones."""

    when: datetime
    lane_id: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class StationStatus:
    """Everything on the staff page."""

    station_id: str
    name: str
    edge_id: str
    time: datetime
    model: str
    """The embedding space, or why no model is loaded."""
    gallery: GalleryStatus
    outbox_depth: int
    """Taps that wait for the cloud."""
    lanes: tuple[LaneStatus, ...]
    decisions: tuple[Decision, ...]
    """The newest first."""


class Journal:
    """The last answers of all lanes, in memory only; appended by lanes, read by the pages."""

    def __init__(self, *, keep: int = 20) -> None:
        self._kept: deque[Decision] = deque(maxlen=keep)

    def note(self, place: Place, when: datetime, answer: Answer) -> None:
        """Add an answer; the oldest beyond the limit is forgotten."""
        self._kept.append(Decision(when, place.lane_id, answer))

    def newest(self) -> tuple[Decision, ...]:
        """Return what is kept, the newest first."""
        return tuple(reversed(tuple(self._kept)))


def gallery_status(holdings: Holdings, now: Moment, *, target_fpir: float) -> GalleryStatus:
    """Return the gallery's worth at a moment."""
    standing = holdings.standing
    leased = is_usable(standing.lease, standing.anchor, wall=now.wall, monotonic_s=now.mono_s)
    return GalleryStatus(
        templates=standing.size,
        foreign=standing.foreign,
        threshold=standing.threshold,
        target_fpir=target_fpir,
        leased=leased,
        lease_until=standing.lease.until,
        revision=holdings.revision,
    )


def lane_by_id(lanes: Sequence[LaneStatus], lane_id: str) -> LaneStatus | None:
    """Return the lane of this id; None if the station has none."""
    return next((lane for lane in lanes if lane.id == lane_id), None)
