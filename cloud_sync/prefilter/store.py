"""Where everything is kept that claims riders for stations, and how well each source guessed.

The port is `ClaimStore`. Claims of active riders alone are given out. This file does not know about
SQL or templates.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from cloud_sync.prefilter.budget import OUTSIDE, Budget
from cloud_sync.prefilter.claim import Claim
from fare.tap import Direction, Tap

HOMES_MAX = 4
"""Home stations that a rider may choose: home, work, and two more."""
JUDGED_WITHIN = timedelta(minutes=5)
"""A tap that arrives later than this says nothing about the view as it is by now."""
ALL = ""
"""The source of a hit that counts every passage, whatever claimed it."""


class ClaimStoreFailed(Exception):
    """The database did not answer; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage as one source saw it coming."""

    day: date
    """In the city's time zone."""
    station_id: str
    direction: Direction
    source: str
    """Its name; `ALL` once for every passage."""
    tier: int
    """In which tier of the view the rider was before the passage; 0 for none."""


@dataclass(frozen=True, slots=True)
class HitRate:
    """How well one source guessed, over many passages."""

    source: str
    direction: Direction
    passages: int
    """All that were judged, whatever claimed them."""
    claimed: int
    """Of these, whom the source had claimed beforehand."""
    first: int
    """Of the claimed ones, who were in the first tier."""
    second: int
    """Of the claimed ones, who were in the second."""

    @property
    def share(self) -> float:
        """Return the share of all passages that the source saw coming, 0 to 1."""
        return self.claimed / self.passages if self.passages else 0.0

    @property
    def found(self) -> float:
        """Return the share of all passages that it saw coming and that were in the view."""
        return (self.first + self.second) / self.passages if self.passages else 0.0


@dataclass(frozen=True, slots=True)
class ViewSize:
    """One view against its budget, as the last reconcile found it."""

    station_id: str
    done_at: datetime | None
    """When everybody was looked at last, aware UTC; None before the first look."""
    glanced_at: datetime | None
    """When the likely riders were, by a glance or a look, aware UTC."""
    first: int
    """Riders in the first tier."""
    first_bound: int
    """How many it may hold now: it stretches for riders who are likely to come."""
    second: int
    outside: int
    """Riders with a claim for whom there was no room."""
    budget: Budget
    """The station's own, or the usual one."""
    is_own: bool
    """Whether an operator gave the station its own."""


class ClaimStore(Protocol):
    """Claims, homes, habits, last taps, and the count of hits."""

    def give(self, claim: Claim) -> bool:
        """Keep a claim that came as such; of two of one source the later end counts.

        Returns:
            False when the rider is not active: then nothing is kept.
        """
        ...

    def set_homes(self, rider_ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """Replace a rider's home stations; one that stays keeps its time."""
        ...

    def homes(self, rider_ref: UUID) -> tuple[str, ...]:
        """Return a rider's home stations in the order in which they were given."""
        ...

    def note(self, taps: Sequence[Tap]) -> None:
        """Learn from taps in any order: the last one of each rider, and their habits.

        Taps of riders who are not active teach nothing: nobody's ways are kept without a face that
        rides.
        """
        ...

    def claims_at(self, station_id: str, now: datetime, *, spare_max: int) -> tuple[Claim, ...]:
        """Return the claims of all active riders on one station.

        Args:
            station_id: The station.
            now: Aware UTC.
            spare_max: With at most so many active riders in the city, each of them is claimed.
        """
        ...

    def claims_of(
        self, rider_refs: Iterable[UUID], station_ids: Iterable[str], now: datetime
    ) -> Mapping[tuple[str, UUID], tuple[Claim, ...]]:
        """Return the claims on some active riders at some stations, by station and rider."""
        ...

    def forget(self, rider_ref: UUID) -> None:
        """Delete everything that is kept here of a rider."""
        ...

    def sweep(self, now: datetime) -> int:
        """Delete what has run out or faded away; return how many records."""
        ...

    def count(self, hits: Iterable[Hit]) -> None:
        """Add passages to the table of hits."""
        ...

    def rates(self, since: date) -> tuple[HitRate, ...]:
        """Return the hit rate of every source and direction from one day on, sorted by both."""
        ...


def hits_of(tap: Tap, claims: Iterable[Claim], tier: int, day: date) -> tuple[Hit, ...]:
    """Return what one passage says about the sources.

    Args:
        tap: The passage.
        claims: Those that held before it, at its station, on its rider.
        tier: Where the rider was in the view before it.
        day: In the city's time zone.
    """
    names = [ALL, *sorted({claim.source for claim in claims})]
    return tuple(Hit(day, tap.station_id, tap.direction, name, tier) for name in names)


def rates_of(counts: Mapping[tuple[str, Direction, int], int]) -> tuple[HitRate, ...]:
    """Return hit rates from passages counted by source, direction and tier.

    Args:
        counts: With those of `ALL`.
    """
    found: list[HitRate] = []
    for source, direction in sorted({(source, direction) for source, direction, _ in counts}):
        by_tier = [counts.get((source, direction, tier), 0) for tier in (OUTSIDE, 1, 2)]
        passages = sum(counts.get((ALL, direction, tier), 0) for tier in (OUTSIDE, 1, 2))
        found.append(HitRate(source, direction, passages, sum(by_tier), by_tier[1], by_tier[2]))
    return tuple(found)
