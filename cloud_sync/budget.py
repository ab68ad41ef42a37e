"""How many riders a station's view may hold, and which tier a rank falls into."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one station's view.

    The threshold of a gate grows with the riders that it compares with, so the first tier is kept
    as small as it can be: that is what makes open models safe enough.
    """

    first: int = 1_000
    """Riders in the first tier as a rule, 1 or more: those whose face alone opens a gate."""
    first_max: int = 10_000
    """Riders in the first tier at a rush, from `first` up: it stretches for riders who are likely
    to come, and for nobody else. In a simulated city like Xi'an the median stays near 1,000."""
    second: int = 100_000
    """Riders in the second tier, 0 or more: on the station's disk, with a stricter threshold."""
    spare_max: int = 10_000
    """While the city has at most so many active riders, every station knows all of them; 0 turns
    that off. At most `first` + `second`."""

    def __post_init__(self) -> None:
        """Refuse bounds that contradict each other.

        Raises:
            ValueError: A value is out of range.
        """
        if not (1 <= self.first <= self.first_max and self.second >= 0):
            raise ValueError(f"out of range: {self}")
        if not 0 <= self.spare_max <= self.first + self.second:
            raise ValueError(f"out of range: {self}")

    @property
    def most(self) -> int:
        """Return how many riders a view can hold at all."""
        return self.first_max + self.second

    def first_of(self, likely: int) -> int:
        """Return how many ranks make the first tier.

        Args:
            likely: How many riders, ranked first, are likely to come.
        """
        return max(self.first, min(likely, self.first_max))


FIRST, SECOND, OUTSIDE = 1, 2, 0
"""Tiers: in the first, in the second, not in the view."""
