"""One person's approach: usable frames in, at most two attempts out, one decision in the end.

Knows nothing of other people: who may be looked at is `edge_gate.intent`'s business.
"""

from dataclasses import dataclass, replace

from edge_gate.decide import Decision, Grant
from edge_gate.embed import fuse
from edge_gate.face import Embedding
from edge_gate.liveness import fused
from edge_gate.reason import Deny, DenyReason


@dataclass(frozen=True, slots=True)
class ApproachConfig:
    """How long a gate looks before it decides."""

    frames_first: int = 2
    """Usable frames before the first attempt, >= 1. At 15 frames a second two frames cost
    67 ms; a single frame would be decided on whatever blur it has."""
    frames_final: int = 5
    """Usable frames before the second and last attempt, >= `frames_first`: 200 ms later, which
    keeps the second attempt inside the 500 ms goal."""
    frames_best: int = 4
    """How many frames, the best by quality, make the probe, >= 1."""
    deadline_s: float = 4.0
    """Longest time from entering the zone to a final answer, seconds, > 0: who is not seen by
    then is faster with a code."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if not (1 <= self.frames_first <= self.frames_final and self.frames_best >= 1):
            raise ValueError(f"out of range: {self}")
        if self.deadline_s <= 0:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One usable frame of the person."""

    embedding: Embedding
    """Unit vector, shape (D,)."""
    quality: float
    """Weight in the fusion, > 0."""
    live: float
    """Liveness of this frame, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Approach:
    """One person, followed by one track, until decided; all methods return a new state."""

    track_id: int
    began_s: float
    """When the person was first seen in the zone, monotonic seconds."""
    first_usable_s: float | None = None
    """Arrival of the first frame whose face was good enough, monotonic seconds."""
    sightings: tuple[Sighting, ...] = ()
    """The usable frames so far, oldest first."""
    attempts: int = 0
    """Searches made, 0 to 2."""
    last: Decision | None = None
    """The newest attempt's answer."""
    verdict: Decision | None = None
    """The final answer; nothing is embedded after it."""

    @property
    def over(self) -> bool:
        """Whether the answer is final."""
        return self.verdict is not None

    def usable_from(self, arrival_s: float) -> "Approach":
        """Note the arrival of a frame with a usable face, if it is the first."""
        return self if self.first_usable_s is not None else replace(self, first_usable_s=arrival_s)

    def seen(self, sighting: Sighting) -> "Approach":
        """Add a usable frame."""
        return replace(self, sightings=(*self.sightings, sighting))

    def due(self, config: ApproachConfig) -> bool:
        """Tell whether enough has been seen for the next attempt."""
        needed = config.frames_first if self.attempts == 0 else config.frames_final
        return not self.over and len(self.sightings) >= needed

    def complete(self, config: ApproachConfig) -> bool:
        """Tell whether everything has been seen that will be: the next answer is the last."""
        return len(self.sightings) >= config.frames_final

    def late(self, now_s: float, config: ApproachConfig) -> bool:
        """Tell whether the time is up without a final answer."""
        return not self.over and now_s - self.began_s >= config.deadline_s

    def probe(self, config: ApproachConfig) -> Embedding:
        """Return the best frames as one unit embedding, shape (D,).

        Raises:
            NoDirection: The frames cancel out (`edge_gate.embed`).
        """
        best = sorted(self.sightings, key=lambda s: -s.quality)[: config.frames_best]
        return fuse([s.embedding for s in best], [s.quality for s in best])

    def live(self) -> float:
        """Return the fused liveness of all usable frames, 0 to 1."""
        return fused([sighting.live for sighting in self.sightings])

    def answered(self, decision: Decision, config: ApproachConfig) -> "Approach":
        """Take an attempt's answer: a grant is final, a refusal only with all frames seen."""
        final = isinstance(decision, Grant) or self.complete(config)
        verdict = decision if final else None
        return replace(self, attempts=self.attempts + 1, last=decision, verdict=verdict)

    def gave_up(self) -> "Approach":
        """End at the deadline: with the last attempt's refusal, else for want of a face."""
        return replace(self, verdict=self.last or Deny(DenyReason.NO_USABLE_FACE))
