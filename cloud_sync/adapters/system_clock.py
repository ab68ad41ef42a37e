"""The clocks of this machine, behind the Clock port."""

import time
from datetime import UTC, datetime


class SystemClock:
    """What a process measures by; tests turn clocks of their own."""

    def wall(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  # the clock that others get as an argument

    def monotonic_s(self) -> float:
        """Return the monotonic clock, seconds."""
        return time.monotonic()
