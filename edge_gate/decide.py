"""The evidence of one approach in, Grant or Deny out; no I/O, no clock, no state.

Every rule that can refuse a face stands in this file, in the order in which it is asked.
"""

from dataclasses import dataclass
from uuid import UUID

from cloud_sync.stream.lease import Anchor, Lease, is_usable
from edge_gate.moment import Moment
from edge_gate.reason import Deny, DenyReason
from edge_gate.search import Candidates


@dataclass(frozen=True, slots=True)
class DecideConfig:
    """What a face must show beyond the threshold, which belongs to the gallery."""

    margin_min: float = 0.08
    """Least difference between the first and the second rider's cosine, 0 to 1: what stops twins
    and look-alikes. It costs nothing where nobody looks alike: of 440 probes of the shared faces,
    searched among 200, 2,200 and 20,200, every one above the threshold had 0.11 or more."""
    live_min: float = 0.35
    """Least fused liveness when all frames were seen, 0 to 1; below is a presentation attack.
    Weak evidence by itself: models/README.md has its error rates."""
    live_at_once: float = 0.8
    """Least fused liveness to open on the first attempt, `live_min` to 1: where the first frames
    leave a doubt, three more are seen before anybody is let through. Live faces of the scene
    camera have 0.98 and more, so they do not wait."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if not (0 <= self.margin_min <= 1 and 0 <= self.live_min <= self.live_at_once <= 1):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a station's gallery is worth at this moment; made anew at each change of it."""

    size: int
    """Templates held in the gallery's space."""
    foreign: int
    """Templates received but refused, because they are of another space."""
    threshold: float | None
    """Least cosine for this size and target FPIR, -1 to 1; None if a face alone may not open at
    this size. Size and threshold are those of the first tier."""
    lease: Lease
    """Until when the gallery may be trusted without word from the cloud."""
    anchor: Anchor | None = None
    """The cloud's time when last heard in this process, which the lease is held against."""
    second_size: int = 0
    """Templates held in the second tier."""
    second_threshold: float | None = None
    """Least cosine for a rider of the second tier; None if none of them may open by a face alone:
    there are none, or more than the model supports."""
    margin_min: float | None = None
    """The station's own margin, where the operator has set one; None leaves it to the lane's."""
    intact: bool = True
    """Whether the gallery's canaries were found when last looked for."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the frames of one person gave."""

    candidates: Candidates
    """The best two riders of both tiers for the fused probe."""
    live: float
    """Fused liveness, 0 to 1."""
    complete: bool = True
    """Whether all frames were seen that will be; False on the first attempt."""


@dataclass(frozen=True, slots=True)
class Grant:
    """This rider may pass."""

    rider_ref: UUID
    score: float
    """Cosine of the fused probe with the rider's template."""
    margin: float
    """Distance to the second rider; the score itself where there is no second."""


Decision = Grant | Deny


def closed(standing: Standing, now: Moment) -> Deny | None:
    """Return why no face at all may be decided on this gallery; None if one may.

    Asked before anybody is embedded: where the answer is known, no embedding is made.
    """
    leased = is_usable(standing.lease, standing.anchor, wall=now.wall, monotonic_s=now.mono_s)
    if not leased:
        return Deny(DenyReason.GALLERY_STALE)
    if not standing.intact:
        return Deny(DenyReason.GALLERY_BROKEN)
    if standing.size + standing.second_size == 0:
        return Deny(DenyReason.SPACE_MISMATCH if standing.foreign else DenyReason.GALLERY_EMPTY)
    # A first tier too large shuts all: it is the one that the second is measured against.
    counted = standing.threshold if standing.size else standing.second_threshold
    return Deny(DenyReason.GALLERY_TOO_LARGE) if counted is None else None


def decide(
    evidence: Evidence, standing: Standing, *, now: Moment, config: DecideConfig
) -> Decision:
    """Grant the best rider of both tiers, or say why not.

    The best must reach the threshold of their own tier and be ahead of the second best by the
    margin, whatever tier that one is in: who is a stranger to the first tier may be a rider of the
    second, and must not ride on somebody of the first who looks like them.

    Args:
        evidence: Of one person.
        standing: Of the gallery that was searched.
        now: By both clocks; the lease is held against them.
        config: Margin and liveness.
    """
    shut = closed(standing, now)
    if shut is not None:
        return shut
    if evidence.live < (config.live_min if evidence.complete else config.live_at_once):
        return Deny(DenyReason.PRESENTATION_ATTACK)
    margin_min = config.margin_min if standing.margin_min is None else standing.margin_min
    return _match(evidence.candidates, standing, margin_min)


def _match(candidates: Candidates, standing: Standing, margin_min: float) -> Decision:
    scores = candidates.scores
    threshold = standing.threshold if candidates.tier == 1 else standing.second_threshold
    if not scores:
        return Deny(DenyReason.NOT_RECOGNISED)
    if threshold is None:
        return Deny(DenyReason.SECOND_TIER_CLOSED)
    if scores[0] < threshold:
        return Deny(DenyReason.NOT_RECOGNISED)
    margin = scores[0] - scores[1] if len(scores) > 1 else scores[0]
    if margin < margin_min:
        return Deny(DenyReason.AMBIGUOUS)
    return Grant(candidates.riders[0], scores[0], margin)
