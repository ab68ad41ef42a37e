"""Tracks in, at most one out: who, if anybody, means to pass this lane.

Only whom this module names may be embedded (invariant 7): everyone else stays a box.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_gate.face import Face
from edge_gate.pose import yaw_degrees
from edge_gate.track import Track


@dataclass(frozen=True, slots=True)
class IntentConfig:
    """What counts as meaning to pass."""

    zone: tuple[tuple[float, float], ...] = ((0.2, 0.05), (0.8, 0.05), (0.8, 0.95), (0.2, 0.95))
    """Corners of the lane's zone in the picture, as shares of width and height, at least three,
    in order around it. The centre of a face must be inside."""
    face_width_min_px: float = 80.0
    """Narrowest face that stands in front of the gate, pixels, > 0. With a lens of 60 degrees
    and 640 pixels a head of 0.16 m is 80 pixels wide at 1.1 m."""
    yaw_max_deg: float = 45.0
    """How far the head may be turned from the camera, degrees, 0 to 90. A three-quarter view still
    looks at the gate, and landmarks of a turned head are off by up to 10 degrees; which frames are
    good enough is for quality to say."""
    frames_min: int = 3
    """Successive sightings that must all fit, >= 1, within the tracker's `history_max`."""
    alone_ratio: float = 1.3
    """How many times wider than the next face in the zone the nearest must be, > 1: the next
    in the queue stands at least a third farther away."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if len(self.zone) < 3 or any(not 0 <= v <= 1 for corner in self.zone for v in corner):
            raise ValueError("zone needs three or more corners, each a share of the picture")
        if self.face_width_min_px <= 0 or not 0 <= self.yaw_max_deg <= 90:
            raise ValueError("face_width_min_px > 0 and 0 <= yaw_max_deg <= 90 are needed")
        if self.frames_min < 1 or self.alone_ratio <= 1:
            raise ValueError("frames_min >= 1 and alone_ratio > 1 are needed")


@dataclass(frozen=True, slots=True)
class NobodyThere:
    """No face of the right size is in the zone."""


@dataclass(frozen=True, slots=True, eq=False)
class NotYet:
    """Somebody is in the zone, but looks away or has just come; nothing may be embedded."""

    track: Track


@dataclass(frozen=True, slots=True, eq=False)
class TooCloseTogether:
    """Two or more of like size are in the zone; nobody may be embedded."""

    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MeansToPass:
    """The one track that may be embedded; this frame shows it."""

    track: Track


Intent = NobodyThere | NotYet | TooCloseTogether | MeansToPass


def judge(
    tracks: Sequence[Track], *, now_s: float, size: tuple[int, int], config: IntentConfig
) -> Intent:
    """Choose the one who means to pass.

    A track that this frame does not show cannot be chosen, but still counts as company: a face
    that the detector loses for a moment leaves nobody alone.

    Args:
        tracks: All live tracks of the frame.
        now_s: The time of the frame, as given to the tracker.
        size: Width and height of the frame in pixels.
        config: What counts.
    """
    inside = [track for track in tracks if _stands_inside(track.face, size, config)]
    if not inside:
        return NobodyThere()
    inside.sort(key=lambda track: -track.face.box.width)
    nearest = inside[0]
    company = tuple(
        track
        for track in inside[1:]
        if nearest.face.box.width < config.alone_ratio * track.face.box.width
    )
    if company:
        return TooCloseTogether((nearest, *company))
    recent = nearest.faces[-config.frames_min :]
    fits = all(_fits(face, size, config) for face in recent)
    if nearest.seen_at(now_s) and len(recent) == config.frames_min and fits:
        return MeansToPass(nearest)
    return NotYet(nearest)


def _fits(face: Face, size: tuple[int, int], config: IntentConfig) -> bool:
    """Tell whether a sighting is in the zone and faces the gate."""
    facing = abs(yaw_degrees(face.landmarks)) <= config.yaw_max_deg
    return facing and _stands_inside(face, size, config)


def _stands_inside(face: Face, size: tuple[int, int], config: IntentConfig) -> bool:
    """Tell whether a face is near enough and its centre inside the zone."""
    x, y = face.box.centre
    return face.box.width >= config.face_width_min_px and inside_polygon(
        (x / size[0], y / size[1]), config.zone
    )


def inside_polygon(point: tuple[float, float], corners: Sequence[tuple[float, float]]) -> bool:
    """Tell whether a point lies in a polygon, by the count of edges to its right."""
    x, y = point
    inside = False
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside
