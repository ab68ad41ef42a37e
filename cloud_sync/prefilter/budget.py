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

    def __str__(self) -> str:
        """Return the bounds of both tiers for people."""
        rush = f", up to {self.first_max:,} at a rush" if self.first_max > self.first else ""
        return f"first tier {self.first:,}{rush}; second tier {self.second:,}"

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


FIRST_MOST, SECOND_MOST = 20_000, 100_000
"""What one station may be given at most: a first tier that the shipped model supports at an FPIR of
1e-2, and a second that a node's disk and memory are made for."""


def for_station(
    usual: Budget,
    *,
    first: int | None = None,
    first_max: int | None = None,
    second: int | None = None,
) -> Budget:
    """Return a budget of one station's own; what is not given is as usual.

    Args:
        usual: Of every other station.
        first: Riders in the first tier as a rule, 1 to `FIRST_MOST`.
        first_max: At a rush, `first` to `FIRST_MOST`; not given, as usual or `first` if larger.
        second: Riders in the second tier, 0 to `SECOND_MOST`.

    Raises:
        ValueError: A value is out of range.
    """
    ruled = usual.first if first is None else first
    most = max(ruled, usual.first_max) if first_max is None else first_max
    stored = usual.second if second is None else second
    if not 1 <= ruled <= FIRST_MOST:
        raise ValueError(f"the first tier holds 1 to {FIRST_MOST:,} riders, not {ruled:,}")
    if not ruled <= most <= FIRST_MOST:
        raise ValueError(f"at a rush it holds {ruled:,} to {FIRST_MOST:,} riders, not {most:,}")
    if not 0 <= stored <= SECOND_MOST:
        raise ValueError(f"the second tier holds 0 to {SECOND_MOST:,} riders, not {stored:,}")
    return Budget(ruled, most, stored, min(usual.spare_max, ruled + stored))


FIRST, SECOND, OUTSIDE = 1, 2, 0
"""Tiers: in the first, in the second, not in the view."""
