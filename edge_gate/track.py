"""Faces of successive frames in, tracks out: one track follows one person.

Only boxes are compared, never embeddings: following somebody must not need recognising them.
Where two tracks claim one face equally well both end and a new one begins, because evidence of
two people in one track could open the gate for the wrong one, while a cut costs a few frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_gate.face import Box, Face


@dataclass(frozen=True, slots=True)
class TrackConfig:
    """How faces are joined over time."""

    distance_max: float = 0.9
    """Farthest step of a face's centre between sightings, in its widths, > 0. At 15 frames a
    second a head crosses the lane at 1.5 m/s with 0.6 widths a frame (a head is 0.16 m wide)."""
    growth_max: float = 1.6
    """Largest ratio of widths between sightings, > 1."""
    doubt_margin: float = 0.2
    """Two tracks whose costs for one face differ by less are in doubt, in widths, >= 0."""
    patience_s: float = 0.5
    """How long a track waits for its face to be seen again, seconds, > 0."""
    history_max: int = 16
    """Faces that a track remembers, >= 1."""
    tracks_max: int = 32
    """Live tracks; the smallest faces beyond are left out, >= 1."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.distance_max <= 0 or self.growth_max <= 1 or self.patience_s <= 0:
            raise ValueError("distance_max, patience_s > 0 and growth_max > 1 are needed")
        if self.doubt_margin < 0 or self.history_max < 1 or self.tracks_max < 1:
            raise ValueError("doubt_margin >= 0, history_max and tracks_max >= 1 are needed")


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One person as followed so far."""

    track_id: int
    faces: tuple[Face, ...]
    """The newest sightings, oldest first, at most `history_max`, never empty."""
    sightings: int
    """Faces seen in all, >= 1; more than `faces` holds when the track is old."""
    first_seen_s: float
    last_seen_s: float
    """Monotonic seconds of the frames."""
    drift: tuple[float, float] = (0.0, 0.0)
    """Speed of the centre, pixels a second."""

    @property
    def face(self) -> Face:
        """The newest sighting."""
        return self.faces[-1]

    def seen_at(self, now_s: float) -> bool:
        """Tell whether the frame of `now_s` shows this track's face."""
        return self.last_seen_s == now_s

    def box_at(self, now_s: float) -> Box:
        """Return where the face is expected at `now_s`, moving on steadily."""
        box, gone_s = self.face.box, now_s - self.last_seen_s
        across, down = self.drift
        return replace(box, left=box.left + across * gone_s, top=box.top + down * gone_s)


class Tracker:
    """Keeps the live tracks of one camera; one caller."""

    def __init__(self, config: TrackConfig | None = None) -> None:
        self._config = config or TrackConfig()
        self._live: tuple[Track, ...] = ()
        self._next_id = 1

    def step(self, faces: Sequence[Face], now_s: float) -> tuple[Track, ...]:
        """Take the faces of the frame of `now_s` and return all live tracks, largest face first.

        A track that this frame did not show stays in the answer for `patience_s`;
        `Track.seen_at` tells. Ids are never used again.
        """
        config = self._config
        waiting = [t for t in self._live if now_s - t.last_seen_s <= config.patience_s]
        chosen = sorted(faces, key=lambda face: -face.box.area)[: config.tracks_max]
        pairs, doubted = _pair(waiting, chosen, now_s, config)
        kept: list[Track] = []
        for index, face in enumerate(chosen):
            track = pairs.get(index)
            kept.append(
                self._born(face, now_s) if track is None else self._grown(track, face, now_s)
            )
        followed = {id(track) for track in pairs.values()}
        unseen = [t for t in waiting if id(t) not in followed and t.track_id not in doubted]
        everyone = sorted(kept + unseen, key=lambda track: -track.face.box.area)
        self._live = tuple(everyone[: config.tracks_max])
        return self._live

    def _born(self, face: Face, now_s: float) -> Track:
        """Begin a track."""
        track = Track(self._next_id, (face,), 1, now_s, now_s)
        self._next_id += 1
        return track

    def _grown(self, track: Track, face: Face, now_s: float) -> Track:
        """Add a sighting."""
        seconds = now_s - track.last_seen_s
        drift = track.drift
        if seconds > 0:
            (x0, y0), (x1, y1) = track.face.box.centre, face.box.centre
            # Half old, half new: detector jitter of a pixel or two must not throw the forecast.
            drift = (
                (drift[0] + (x1 - x0) / seconds) / 2,
                (drift[1] + (y1 - y0) / seconds) / 2,
            )
        faces = (*track.faces, face)[-self._config.history_max :]
        return replace(
            track, faces=faces, sightings=track.sightings + 1, last_seen_s=now_s, drift=drift
        )


def _cost(track: Track, face: Face, now_s: float, config: TrackConfig) -> float:
    """Return how badly a face continues a track, in face widths; infinite if it cannot."""
    forecast, seen = track.box_at(now_s), face.box
    width = max(forecast.width, seen.width, 1e-6)
    growth = width / max(min(forecast.width, seen.width), 1e-6)
    if growth > config.growth_max:
        return math.inf
    (x0, y0), (x1, y1) = forecast.centre, seen.centre
    step = math.hypot(x1 - x0, y1 - y0) / width
    if step > config.distance_max:
        return math.inf
    # The overlap is 1 for the same box, so a perfect continuation costs nothing.
    return step + math.log(growth) + (1 - forecast.overlap(seen)) / 2


def _pair(
    tracks: Sequence[Track], faces: Sequence[Face], now_s: float, config: TrackConfig
) -> tuple[dict[int, Track], set[int]]:
    """Return the track of each face's index, and the ids of the tracks that end in doubt."""
    costs = sorted(
        (cost, index, track.track_id, track)
        for track in tracks
        for index, face in enumerate(faces)
        if (cost := _cost(track, face, now_s, config)) < math.inf
    )
    pairs: dict[int, Track] = {}
    price: dict[int, float] = {}
    taken: set[int] = set()
    for cost, index, track_id, track in costs:
        if index not in pairs and track_id not in taken:
            pairs[index], price[index] = track, cost
            taken.add(track_id)
    doubted: set[int] = set()
    for cost, index, track_id, _ in costs:
        mine = pairs.get(index)
        if mine is None or track_id == mine.track_id:
            continue
        # A rival that has a far better face of its own is no rival.
        own = min((c for c, _, other, _ in costs if other == track_id), default=math.inf)
        if cost - price[index] < config.doubt_margin and cost - own < config.doubt_margin:
            doubted |= {track_id, mine.track_id}
    return {i: t for i, t in pairs.items() if t.track_id not in doubted}, doubted
