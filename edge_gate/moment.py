"""One moment, by both clocks of the machine: what every step of a lane is given."""

from dataclasses import dataclass
from datetime import datetime

from cloud_sync.stream.lease import Anchor

CLOCK_ERROR_MS_MAX = 2**32 - 1
"""What a tap can say of its clock's error on the wire: 49 days; more is no more wrong."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now."""

    mono_s: float
    """Monotonic seconds: for intervals, deadlines and the log's durations."""
    wall: datetime
    """Aware UTC: for taps, ride codes and expiry only."""
    clock_error_ms: int = 0
    """The node's own estimate of the wall clock's error, milliseconds, >= 0."""


def moment(anchor: Anchor | None, *, wall: datetime, mono_s: float) -> Moment:
    """Return now; the wall clock's error is its distance from the cloud's, where that is known.

    Args:
        anchor: The cloud's time as last heard or assumed; None when it is not known.
        wall: The wall clock, aware UTC.
        mono_s: The monotonic clock, seconds.
    """
    error_s = abs((wall - anchor.now(mono_s)).total_seconds()) if anchor else 0.0
    return Moment(mono_s, wall, min(round(1000 * error_s), CLOCK_ERROR_MS_MAX))
