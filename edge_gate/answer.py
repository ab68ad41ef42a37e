"""What a lane answered one person: the record that log, screen and staff page share."""

from dataclasses import dataclass
from uuid import UUID

from edge_gate.reason import DenyReason
from fare.tap import Medium, TapFlag


@dataclass(frozen=True, slots=True)
class Answer:
    """One decision about one person, as it went out."""

    medium: Medium
    reason: DenyReason | None
    """None for a grant: the barrier was opened."""
    rider_ref: UUID | None = None
    """Who, where the gate knows; None for a refused face."""
    score: float | None = None
    """Cosine of the match; None for codes and where nothing was searched."""
    margin: float | None = None
    """Distance to the second rider."""
    live: float | None = None
    """Fused liveness, 0 to 1; None for codes and where no face was usable."""
    attempts: int = 0
    """Searches made for this answer."""
    again: bool = False
    """The barrier opened once more on the tap of a passage that did not happen."""
    flags: tuple[TapFlag, ...] = ()
    """What was different at this passage, sorted: the tap's."""
    deciding_frame_to_open_ms: float | None = None
    """From the arrival of the frame that decided to the open command; None for a refusal."""
    first_usable_to_open_ms: float | None = None
    """From the arrival of the first usable face in the zone to the open command; None for a
    refusal and for a code."""

    @property
    def outcome(self) -> str:
        """`grant` or `deny`."""
        return "deny" if self.reason else "grant"

    def fields(self) -> dict[str, object]:
        """Return the answer as log fields, floats rounded; no face, no code."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "medium": self.medium,
            "rider_ref": self.rider_ref,
            "score": _rounded(self.score, 4),
            "margin": _rounded(self.margin, 4),
            "liveness": _rounded(self.live, 3),
            "attempts": self.attempts,
            "again": self.again,
            "flags": ",".join(self.flags),
            "deciding_frame_to_open_ms": _rounded(self.deciding_frame_to_open_ms, 1),
            "first_usable_to_open_ms": _rounded(self.first_usable_to_open_ms, 1),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
