"""Who is before one lane, and what they were told: one approach a person, kept while they stay.

A detector loses a face now and then, behind a phone or a hand, and its track ends; the person who
reappears in the same place a moment later is the same, and keeps their refusal instead of being
looked at again. Evidence is never carried over, only an end of looking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_gate.approach import Approach
from edge_gate.decide import Grant
from edge_gate.face import Box
from edge_gate.reason import Deny
from edge_gate.sight import Recognised
from edge_gate.track import Track


@dataclass(frozen=True, slots=True)
class VisitorsConfig:
    """When somebody who reappears is the same person."""

    grant_hold_s: float = 3.0
    """How long a recognised rider may wait for the passage of the one before, seconds, >= 0;
    afterwards they are looked at anew."""
    reappear_s: float = 1.5
    """Longest time out of sight, seconds, >= 0: shorter than the next in a queue needs to step
    forward."""
    overlap_min: float = 0.4
    """Least overlap of the old and the new box, above 0, to 1: same place, same distance."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if min(self.grant_hold_s, self.reappear_s) < 0 or not 0 < self.overlap_min <= 1:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class _Departed:
    box: Box
    seen_s: float
    verdict: Deny | None
    """What they were told; None for whoever rode on a code."""


class Visitors:
    """The people before one lane; one thread."""

    def __init__(self, config: VisitorsConfig | None = None) -> None:
        self._config = config or VisitorsConfig()
        self._approaches: dict[int, Approach] = {}
        self._waiting: dict[int, Recognised] = {}
        self._excused: set[int] = set()
        self._places: dict[int, tuple[Box, float]] = {}
        self._departed: list[_Departed] = []

    def see(self, tracks: Sequence[Track], now_s: float) -> None:
        """Take the live tracks of a frame: whoever is not among them has left."""
        alive = {track.track_id for track in tracks}
        for track_id in self._places.keys() - alive:
            self._leave(track_id)
        reappear_s = self._config.reappear_s
        self._departed = [gone for gone in self._departed if now_s - gone.seen_s <= reappear_s]
        self._places = {track.track_id: (track.face.box, track.last_seen_s) for track in tracks}

    def approach(self, track: Track, now_s: float) -> Approach | None:
        """Return the approach of a track, begun now if new; None for whoever is excused."""
        if track.track_id not in self._approaches and track.track_id not in self._excused:
            self._arrive(track, now_s)
        return self._approaches.get(track.track_id)

    def find(self, track_id: int | None) -> Approach | None:
        """Return the approach of a track, if there is one."""
        return None if track_id is None else self._approaches.get(track_id)

    def put(self, approach: Approach) -> None:
        """Keep the newest state of an approach."""
        self._approaches[approach.track_id] = approach

    def recognised(self, rider: Recognised) -> None:
        """Note that a rider waits for an answer of the passage."""
        self._waiting[rider.track_id] = rider

    def waiting(self, track_id: int, now_s: float) -> Recognised | None:
        """Return the rider who still waits; after a while they are to be looked at anew."""
        rider = self._waiting.get(track_id)
        if rider is not None and now_s - rider.frame_s > self._config.grant_hold_s:
            del self._approaches[track_id], self._waiting[track_id]
            return None
        return rider

    def settled(self, track_id: int) -> None:
        """Note that a recognised rider got an answer from the passage."""
        self._waiting.pop(track_id, None)

    def passed(self) -> None:
        """Note that somebody went through: whoever was granted and is still seen is looked at anew.

        A track that went on with the next in the queue must not leave them unserved.
        """
        for track_id, approach in tuple(self._approaches.items()):
            if isinstance(approach.verdict, Grant) and track_id not in self._waiting:
                del self._approaches[track_id]

    def excuse(self, track_id: int) -> None:
        """Look no more at somebody: they rode on a code."""
        self._excused.add(track_id)
        self._approaches.pop(track_id, None)
        self._waiting.pop(track_id, None)

    def clear(self) -> None:
        """Forget everybody."""
        self._approaches.clear()
        self._waiting.clear()
        self._excused.clear()
        self._places.clear()
        self._departed.clear()

    def _leave(self, track_id: int) -> None:
        box, seen_s = self._places.pop(track_id)
        approach = self._approaches.pop(track_id, None)
        self._waiting.pop(track_id, None)
        if track_id in self._excused:
            self._excused.remove(track_id)
            self._departed.append(_Departed(box, seen_s, None))
        elif approach is not None and isinstance(approach.verdict, Deny):
            self._departed.append(_Departed(box, seen_s, approach.verdict))

    def _arrive(self, track: Track, now_s: float) -> None:
        """Begin an approach, or go on with what somebody in the same place was told."""
        for gone in self._departed:
            same_place = gone.box.overlap(track.faces[0].box) >= self._config.overlap_min
            if same_place and track.first_seen_s - gone.seen_s <= self._config.reappear_s:
                self._departed.remove(gone)
                if gone.verdict is None:
                    self._excused.add(track.track_id)
                    return
                self.put(Approach(track.track_id, now_s, verdict=gone.verdict))
                return
        self.put(Approach(track.track_id, began_s=now_s))
