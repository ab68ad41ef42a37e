"""What a station node shows of itself to staff and riders: plain records, no faces, no codes."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cloud_sync.stream.lease import is_usable
from cloud_sync.trust.device import Certified, Route, route
from edge_gate.answer import Answer
from edge_gate.holdings import Holdings
from edge_gate.moment import Moment
from edge_gate.pipeline import LaneView
from edge_gate.tapping import Place
from edge_gate.watch import CameraState


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
class EntranceStatus:
    """One entrance camera; it knows of nobody who came."""

    id: str
    camera: CameraState
    looks: int
    """Sent to the cloud since the start."""
    answer: str
    """The cloud's last answer, which names nobody; empty without one."""


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """The gallery and its worth."""

    templates: int
    """Riders of the first tier, whose face can be matched here."""
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
    second_templates: int = 0
    """Riders of the second tier."""
    second_threshold: float | None = None
    """Score from which a face of the second tier opens; None if none does."""
    intact: bool = True
    """Whether the gallery's canaries were found."""
    margin_min: float | None = None
    """The operator's margin; None is the lane's own."""


@dataclass(frozen=True, slots=True)
class OrdersStatus:
    """What the station goes by beside its gallery."""

    modes: tuple[str, ...] = ()
    """What is left out now, sorted; empty as a rule."""
    denied: int = 0
    """Riders on the deny list."""
    deny_list_age_s: float | None = None
    """Seconds since the node last held all of the list; None when it never did."""
    tariff: str = ""
    """Version of the tariff that was sent; empty when none was."""
    refused: tuple[str, ...] = ()
    """Documents whose newest version was refused; the one before is in force."""


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """What the cloud knows this node by."""

    words: str = "none"
    """How good it is, or what is missing."""
    issued: datetime | None = None
    until: datetime | None = None
    """Its last moment."""


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
    orders: OrdersStatus = field(default_factory=OrdersStatus)
    certificate: CertificateStatus = CertificateStatus()
    entrances: tuple[EntranceStatus, ...] = ()


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


def gallery_status(holdings: Holdings, now: Moment) -> GalleryStatus:
    """Return the gallery's worth at a moment."""
    standing = holdings.standing
    leased = is_usable(standing.lease, standing.anchor, wall=now.wall, monotonic_s=now.mono_s)
    return GalleryStatus(
        templates=standing.size,
        foreign=standing.foreign,
        threshold=standing.threshold,
        target_fpir=holdings.target_fpir,
        leased=leased,
        lease_until=standing.lease.until,
        revision=holdings.revision,
        second_templates=standing.second_size,
        second_threshold=standing.second_threshold,
        intact=standing.intact,
        margin_min=standing.margin_min,
    )


def orders_status(holdings: Holdings, now: Moment) -> OrdersStatus:
    """Return what the station goes by at a moment."""
    orders, standing = holdings.orders, holdings.standing
    complete, anchor = standing.lease.renewed, standing.anchor
    age_s = None
    if complete is not None:
        # By the cloud's time as carried on here: a wall clock set back must not make it young.
        moments = [now.wall] if anchor is None else [now.wall, anchor.now(now.mono_s)]
        age_s = max(0.0, (max(moments) - complete).total_seconds())
    return OrdersStatus(
        modes=tuple(sorted(orders.mode.modes)),
        denied=len(orders.denials),
        deny_list_age_s=None if age_s is None else round(age_s),
        tariff=orders.tariff.version if orders.tariff else "",
        refused=tuple(sorted(orders.refused)),
    )


_ROUTES = {
    Route.MAIN: "good",
    Route.GRACE: "not good now: only taps go to the cloud",
    Route.NONE: "long out: this node must join anew",
}


def certificate_status(certified: Certified, now: datetime) -> CertificateStatus:
    """Return how good the node's certificate is, by the node's own clock."""
    hours = int((now - certified.issued).total_seconds() // 3_600)
    words = f"{_ROUTES[route(certified, now)]}, {max(hours, 0)} h old"
    return CertificateStatus(words, certified.issued, certified.not_after)


def lane_by_id(lanes: Sequence[LaneStatus], lane_id: str) -> LaneStatus | None:
    """Return the lane of this id; None if the station has none."""
    return next((lane for lane in lanes if lane.id == lane_id), None)
