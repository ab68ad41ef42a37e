"""Why a gate said no: the one list that screen, log, metric and docs share."""

from dataclasses import dataclass
from enum import StrEnum


class DenyReason(StrEnum):
    """Each reason, as logged; `MESSAGES` has what the rider reads."""

    NOT_RECOGNISED = "not_recognised"
    """The best candidate's score is below the gallery's threshold."""
    AMBIGUOUS = "ambiguous"
    """First and second candidate are closer than the margin."""
    TOO_CLOSE_TOGETHER = "too_close_together"
    """Two people of like size stand in the zone; no single one is nearest."""
    NO_USABLE_FACE = "no_usable_face"
    """Somebody stood in the zone, but no frame was good enough in time."""
    PRESENTATION_ATTACK = "presentation_attack"
    """The liveness score says picture or screen."""
    GALLERY_EMPTY = "gallery_empty"
    """The station holds no templates yet."""
    GALLERY_TOO_LARGE = "gallery_too_large"
    """More templates than the model supports for a face alone."""
    GALLERY_STALE = "gallery_stale"
    """The lease on the gallery ran out: a withdrawal may have been missed."""
    MODEL_REFUSED = "model_refused"
    """A model file is missing, corrupt, swapped or wrong-shaped."""
    SPACE_MISMATCH = "space_mismatch"
    """Template and probe come from different models or transforms."""
    CAMERA_LOST = "camera_lost"
    """No new frame within two seconds."""
    CAMERA_BLACK = "camera_black"
    """The picture is dark all over."""
    CAMERA_FROZEN = "camera_frozen"
    """The same picture again and again."""
    CAMERA_OVEREXPOSED = "camera_overexposed"
    """The picture is white all over."""
    CODE_EXPIRED = "code_expired"
    """The ride code is older than its validity."""
    CODE_FUTURE = "code_future"
    """The ride code was made later than now."""
    CODE_REPLAYED = "code_replayed"
    """This very code has opened a gate before."""
    CODE_TRUNCATED = "code_truncated"
    """The code is shorter or longer than its format."""
    CODE_FOREIGN = "code_foreign"
    """Not a ride code of this system: other format, version or unknown key."""
    CODE_FORGED = "code_forged"
    """The signature does not fit the content."""
    TAP_NOT_DURABLE = "tap_not_durable"
    """The tap could not be written to disk, so the barrier stays shut."""
    BARRIER_FAULT = "barrier_fault"
    """The turnstile reports a fault."""


@dataclass(frozen=True, slots=True)
class Deny:
    """A decision: the barrier stays shut."""

    reason: DenyReason
