"""How long a station may trust its gallery without hearing from the cloud.

A withdrawn rider's face may be used no longer than the lease. Wall clocks lie, so time is taken
from what the cloud said, carried on by the monotonic clock, and remembered as a high-water mark.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

WALL_TOLERANCE = timedelta(seconds=60)
"""How far the wall clock may be behind the mark before nobody believes it; NTP keeps a node within
a second, an unset clock is years off."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The trust that is on disk."""

    until: datetime | None = None
    """Aware UTC, by the cloud's clock; None when the gallery was never caught up."""
    mark: datetime | None = None
    """The latest time ever known to have passed, aware UTC; it never goes back."""
    renewed: datetime | None = None
    """The cloud's time when the replica was last known to hold all of its view, aware UTC: from
    then on it may lack a deletion, or a line of the deny list."""

    def raised(self, moment: datetime) -> "Lease":
        """Return the lease with the mark at `moment` if that is later."""
        if self.mark is not None and moment <= self.mark:
            return self
        return Lease(self.until, moment, self.renewed)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A time of the cloud, and when it was heard; it lives as long as the process."""

    cloud_time: datetime
    heard_s: float
    """Monotonic seconds."""

    def now(self, monotonic_s: float) -> datetime:
        """Return the cloud's time as it must be now.

        Args:
            monotonic_s: Now, on the clock of `heard_s`.
        """
        return self.cloud_time + timedelta(seconds=monotonic_s - self.heard_s)


def assumed(lease: Lease, *, wall: datetime, monotonic_s: float) -> Anchor | None:
    """Return what a node that starts without the cloud measures its lease by, until it hears it.

    Else a wall clock set back later, or one that stands still, would stretch the lease. It is kept
    in memory only: a wall clock that is wrong at the start must not become the mark.

    Args:
        lease: What is on disk.
        wall: The wall clock, aware UTC.
        monotonic_s: The monotonic clock, seconds.
    """
    return Anchor(max(wall, lease.mark), monotonic_s) if lease.mark is not None else None


def is_usable(lease: Lease, anchor: Anchor | None, *, wall: datetime, monotonic_s: float) -> bool:
    """Return whether the gallery may be used now.

    Args:
        lease: What is on disk.
        anchor: The last time heard from the cloud in this process, if any.
        wall: The wall clock, aware UTC.
        monotonic_s: The monotonic clock, seconds.

    Returns:
        False when the lease ran out by any clock, or when the wall clock is behind the mark.
    """
    if lease.until is None or lease.mark is None or wall < lease.mark - WALL_TOLERANCE:
        return False
    moments = [wall, lease.mark]
    if anchor is not None:
        moments.append(anchor.now(monotonic_s))
    return max(moments) < lease.until
