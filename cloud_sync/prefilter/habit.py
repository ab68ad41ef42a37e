"""Travel habits: how often a rider was at a station at an hour of the week, fading with time.

One number per rider, station and hour of the week is kept; a visit adds 1, and all of it halves
every four weeks. Nothing older can be read out of it: no list of journeys is kept for this.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.prefilter.claim import HABIT, WEIGHT_MAX, Claim, Source

HALF_LIFE = timedelta(days=28)
"""After so long a visit counts half: a new job shows within two weeks, and a holiday of two weeks
leaves 71 % of a habit."""
BUCKETS = 168
"""Hours of a week; bucket 0 is Monday, midnight to one."""
STEADY = 1 / (1 - 2 ** (-7 / HALF_LIFE.days))
"""What weekly visits to one bucket add up to in the long run: 6.3."""
BY_CHANCE = 2.0
"""Of so many visits half are put down to chance; `cloud_sync simulate` shows the effect."""
FORGOTTEN = 0.02
"""Below this a habit is deleted: one visit 158 days ago."""

_WORKDAYS = 5
Count = TypeVar("Count", float, npt.NDArray[np.float32])


@dataclass(frozen=True, slots=True)
class Habit:
    """How often one rider was at one station at one hour of the week."""

    rider_ref: UUID
    station_id: str
    bucket: int
    weight: float
    """Visits, faded to `at`."""
    at: datetime
    """Aware UTC."""

    def faded(self, now: datetime) -> float:
        """Return the visits as they count now."""
        return self.weight * fading(self.at, now)


def fading(at: datetime, now: datetime) -> float:
    """Return the share that is left of a visit at one moment at a later one; at most 1."""
    return float(0.5 ** max(0.0, (now - at) / HALF_LIFE))


def bucket_of(local: datetime) -> int:
    """Return the hour of the week.

    Args:
        local: A moment in the city's time zone.
    """
    return local.weekday() * 24 + local.hour


def visited(before: Habit | None, rider_ref: UUID, station_id: str, local: datetime) -> Habit:
    """Return a habit after one more visit.

    A visit that is told late fades to the time of the others first, so the order of telling does
    not matter.

    Args:
        before: The habit of that rider, station and bucket.
        rider_ref: Who.
        station_id: Where.
        local: When, in the city's time zone.
    """
    bucket = bucket_of(local)
    if before is None:
        return Habit(rider_ref, station_id, bucket, 1.0, local)
    at = max(before.at, local)
    weight = before.faded(at) + fading(local, at)
    return Habit(rider_ref, station_id, bucket, weight, at)


@dataclass(frozen=True, slots=True)
class Visits:
    """A rider's visits to one station, faded to now and added up around an hour of the week."""

    own: float
    """At this very hour of the week."""
    kin: float
    """At this hour on all days of the same kind (workdays, or the weekend)."""
    near: float
    """Within an hour of it on days of the same kind, this hour left out."""
    ever: float
    """At any hour."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which buckets are alike, seen from one of them."""

    own: int
    kin: frozenset[int]
    near: frozenset[int]

    @property
    def days(self) -> int:
        """Return how many days are of this kind."""
        return len(self.kin)


def kind_of(bucket: int) -> Kind:
    """Return the buckets that tell something about one of them.

    Args:
        bucket: 0 to 167.
    """
    day, hour = divmod(bucket, 24)
    days = range(_WORKDAYS) if day < _WORKDAYS else range(_WORKDAYS, 7)
    kin = frozenset(each * 24 + hour for each in days)
    near = frozenset((each * 24 + hour + step) % BUCKETS for each in days for step in (-1, 1))
    return Kind(bucket, kin, near)


def add_up(habits: Iterable[Habit], kind: Kind, now: datetime) -> Visits:
    """Add up a rider's habits at one station.

    Args:
        habits: All of the rider's at the station.
        kind: What the hour looked at is like.
        now: Aware UTC.
    """
    faded = [(habit.bucket, habit.faded(now)) for habit in habits]
    return Visits(
        own=sum(weight for bucket, weight in faded if bucket == kind.own),
        kin=sum(weight for bucket, weight in faded if bucket in kind.kin),
        near=sum(weight for bucket, weight in faded if bucket in kind.near),
        ever=sum(weight for _, weight in faded),
    )


def likelihood(visits: Visits, days: int) -> float:
    """Return how likely the rider comes within the hour, 0 to `WEIGHT_MAX`.

    The best of four readings: who came at this hour of the week every week; who comes at this hour
    on other days of the kind (0.8: days differ); who comes within an hour of it (0.4); and who was
    here at all (0.04). The three factors are estimates, to be fitted to an operator's own taps.

    Args:
        visits: The rider's, at the station.
        days: How many days are of this hour's kind.
    """
    readings = (
        steadiness(visits.own) / STEADY,
        0.8 * steadiness(visits.kin) / (STEADY * days),
        0.4 * steadiness(visits.near) / (STEADY * days),
        0.04 * min(1.0, visits.ever / STEADY),
    )
    return min(WEIGHT_MAX, max(readings))


def steadiness(visits: Count) -> Count:
    """Return visits without those that chance alone explains.

    Among millions of riders one visit at some hour says little about the same hour of another day;
    without this the views of a simulated city of 3 million fill with people who do not come.

    Args:
        visits: Faded, 0 or more; also arrays of them.
    """
    return visits * (visits / (visits + BY_CHANCE))


@dataclass(frozen=True, slots=True)
class Least:
    """Visits below all three of which nobody is as likely as asked; see `Visits`."""

    own: float
    kin: float
    near: float


def least_for(weight: float, days: int) -> Least:
    """Return what it takes for a likelihood: `likelihood` the other way round.

    Args:
        weight: The likelihood, above 0.04, which having been here at all can give.
        days: How many days are of the hour's kind.
    """
    a_hair = 1 - 1e-9  # rounding must not lose whoever is just likely
    return Least(
        own=a_hair * _visits_for(weight * STEADY),
        kin=a_hair * _visits_for(weight * STEADY * days / 0.8),
        near=a_hair * _visits_for(weight * STEADY * days / 0.4),
    )


def _visits_for(steady: float) -> float:
    """Return the visits whose steadiness is given."""
    return float((steady + (steady * (steady + 4 * BY_CHANCE)) ** 0.5) / 2)


def claim_of(
    rider_ref: UUID,
    station_id: str,
    visits: Visits,
    days: int,
    now: datetime,
    source: Source = HABIT,
) -> Claim | None:
    """Return the claim that a habit makes now, None when there is none.

    Args:
        rider_ref: Who.
        station_id: Where.
        visits: As added up for this hour.
        days: How many days are of this hour's kind.
        now: Aware UTC.
        source: The source's settings.
    """
    weight = likelihood(visits, days)
    if weight <= 0:
        return None
    return Claim(station_id, rider_ref, source.name, weight, now, now + (source.ttl or HALF_LIFE))
