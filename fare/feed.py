"""Taps as they come from the cloud's log, and the copy that fare keeps to fold from.

The log is dense and ordered (its position is taken under a row lock), so reading what lies after
a cursor never skips a tap. This file does not know what a tap costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fare.tap import Tap


@dataclass(frozen=True, slots=True)
class PlacedTap:
    """A tap at its place in the cloud's log."""

    position: int
    """1, 2, 3, ... in the order of arrival, which says nothing about the time of the tap."""
    tap: Tap


class TapFeed(Protocol):
    """The cloud's log of taps, read only."""

    def read_after(self, position: int, limit: int) -> Sequence[PlacedTap]:
        """Return up to `limit` taps behind a position, in order."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when new taps may be there, at the latest after `timeout_s` seconds."""
        ...


class Taps(Protocol):
    """The taps fare has taken in, and how far it has read."""

    def lock_cursor(self) -> int:
        """Return the position read last, 0 at first; one transaction holds it at a time."""
        ...

    def move_cursor(self, position: int) -> None:
        """Store the position read last; `lock_cursor` must have been called."""
        ...

    def keep(self, taps: Sequence[Tap]) -> Sequence[Tap]:
        """Store taps and return those that were not there yet.

        A tap whose id belongs to another rider's tap is left out: ids name trips, and a trip has
        one rider.
        """
        ...

    def of_rider(self, rider_ref: UUID) -> Sequence[Tap]:
        """Return every tap kept of a rider, in any order."""
        ...
