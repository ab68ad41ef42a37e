"""What a lane's face path says about one person: recognised, or not and why."""

from dataclasses import dataclass

from edge_gate.decide import Grant
from edge_gate.reason import DenyReason


@dataclass(frozen=True, slots=True)
class Recognised:
    """A rider to let through, if the passage is free."""

    track_id: int
    grant: Grant
    live: float
    """Fused liveness, 0 to 1."""
    attempts: int
    """Searches made."""
    first_usable_s: float
    """Arrival of the first frame with a usable face, monotonic seconds."""
    frame_s: float
    """Arrival of the deciding frame, monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """Somebody who gets no way through by the face."""

    reason: DenyReason
    score: float | None = None
    """Of the best candidate; None where nothing was searched."""
    live: float | None = None
    """Fused liveness; None where no frame was usable."""
    attempts: int = 0
    """Searches made."""


Sight = Recognised | Unrecognised | None
"""What one frame brought; None is the usual answer."""
