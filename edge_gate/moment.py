"""One moment, by both clocks of the machine: what every step of a lane is given."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """Now."""

    mono_s: float
    """Monotonic seconds: for intervals, deadlines and the log's durations."""
    wall: datetime
    """Aware UTC: for taps, ride codes and expiry only."""
    clock_error_ms: int = 0
    """The node's own estimate of the wall clock's error, milliseconds, >= 0."""
