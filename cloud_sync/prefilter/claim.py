"""Why a station should know a rider: claims, and the sources that make them.

A source says what it saw and how likely the rider comes; it never decides who is in a view (see
`ranking`). Sources are plain objects: a deployment adds one, or weighs one otherwise, by giving
another tuple.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

WEIGHT_MAX = 0.99
"""No claim is certain: whoever is seen at the entrance may still turn round."""


@dataclass(frozen=True, slots=True)
class Source:
    """One way in which a station learns that a rider may come."""

    name: str
    """As stored and shown: lower case, one word."""
    priority: int
    """Claims of a higher one come first, 1 to 99; 0 is for whoever merely fits."""
    ttl: timedelta | None
    """How long a claim lasts at most; None is as long as the fact behind it."""
    weight: float
    """How likely a claimed rider comes while the claim lasts, 0 to `WEIGHT_MAX`, where the source
    knows nothing better for a single claim."""
    likely_min: float
    """A claim of less weight is a long shot and ranks behind the likely claims of every source."""
    urgent: bool
    """Whether the rider is put into the view at once, before the next reconcile."""
    says: str
    """Why, to be read by an operator after the rider's reference."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not (0 <= self.priority <= 99 and 0 <= self.weight <= WEIGHT_MAX):
            raise ValueError(f"out of range: {self}")


PRESENCE = Source(
    "presence", 60, timedelta(minutes=10), 0.95, 0.0, urgent=True, says="was seen at the entrance"
)
"""From an entrance camera; a concourse is crossed within ten minutes."""
CHECK_IN = Source(
    "check_in", 50, timedelta(minutes=30), 0.9, 0.0, urgent=True, says="checked in by app or code"
)
OPEN_TRIP = Source(
    "open_trip", 40, timedelta(hours=4), 0.02, 0.05, urgent=True, says="is on the way"
)
"""Whoever entered anywhere is a candidate at every exit. 0.02 is one exit among fifty, for a rider
of whom nothing else is known; four hours is the longest stay that the tariff takes for a trip."""
HABIT = Source(
    "habit", 30, timedelta(hours=1), 0.3, 0.05, urgent=False, says="often rides here at this hour"
)
LAST_EXIT = Source(
    "last_exit", 25, timedelta(days=7), 0.2, 0.05, urgent=False, says="left by this station last"
)
"""Whoever left here last most often enters here next: a trip begins where the last one ended."""
HOME = Source("home", 20, None, 0.01, 0.05, urgent=False, says="chose this as a home station")
"""Some 34,000 riders live at a station of a city like Xi'an, and few of them come in one hour: a
home alone is a place in the second tier."""
SPARE = Source("spare", 0, None, 0.0, 0.0, urgent=False, says="is here because the city fits")
"""While a city is small every station knows everybody."""

LONG_SHOT = 10
"""The priority of a claim that is less likely than its source's `likely_min`."""

SHIPPED = (PRESENCE, CHECK_IN, OPEN_TRIP, HABIT, LAST_EXIT, HOME, SPARE)
"""All sources that come with this package, the most telling first."""


def by_name(sources: Sequence[Source]) -> Mapping[str, Source]:
    """Return the sources by their names.

    Raises:
        ValueError: Two have one name.
    """
    named = {source.name: source for source in sources}
    if len(named) != len(sources):
        raise ValueError("two sources of one name")
    return MappingProxyType(named)


@dataclass(frozen=True, slots=True)
class Claim:
    """One source's reason for one rider at one station."""

    station_id: str
    rider_ref: UUID
    source: str
    """The name of a source."""
    weight: float
    """How likely the rider comes while the claim lasts, 0 to `WEIGHT_MAX`."""
    since: datetime
    """Not before this moment, aware UTC."""
    until: datetime | None = None
    """Not at or after this one; None is as long as the fact behind it."""

    def __post_init__(self) -> None:
        """Refuse a certainty, a naive time and a claim that ends before it begins.

        Raises:
            ValueError: A value is out of range.
        """
        if not 0 <= self.weight <= WEIGHT_MAX:
            raise ValueError(f"the weight {self.weight} is not in 0 to {WEIGHT_MAX}")
        if self.since.tzinfo is None or (self.until is not None and self.until.tzinfo is None):
            raise ValueError("times must be aware")
        if self.until is not None and self.until < self.since:
            raise ValueError("the claim ends before it begins")

    def holds(self, now: datetime) -> bool:
        """Return whether the claim counts now."""
        return self.since <= now and (self.until is None or now < self.until)


def bounded(source: Source, since: datetime, until: datetime | None) -> datetime | None:
    """Return until when a claim may last: as asked, but never past its source's time to live."""
    if source.ttl is None:
        return until
    last = since + source.ttl
    return last if until is None else min(until, last)
