"""The time of a process, handed to whatever needs it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for people, one for durations."""

    def wall(self) -> datetime:
        """Return the wall clock, aware UTC; it may jump."""
        ...

    def monotonic_s(self) -> float:
        """Return the monotonic clock, seconds; its zero means nothing."""
        ...
