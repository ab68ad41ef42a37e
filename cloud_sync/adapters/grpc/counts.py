"""What the streams of a process count of themselves."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What the streams of this process have seen since it started."""

    divergences: int = 0
    """Replicas that differed from their view at the same revision."""
