"""From what is known of a rider at a station to the claims of all sources.

Comes in: given claims, homes, habits, the last tap. Goes out: claims for `ranking`. One object
holds what the sources need to know of the city. This file does not know about SQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import cache, cached_property, lru_cache
from types import MappingProxyType
from uuid import UUID

from cloud_sync.prefilter.claim import (
    HABIT,
    HOME,
    LAST_EXIT,
    OPEN_TRIP,
    SHIPPED,
    SPARE,
    Claim,
    Source,
    by_name,
)
from cloud_sync.prefilter.habit import Kind, Visits, bucket_of, claim_of, kind_of
from cloud_sync.prefilter.travel import (
    HOMEWARD,
    LastTap,
    TravelConfig,
    Window,
    at_home,
    left_here,
    on_the_way,
    rides,
    window,
)
from fare.network import Network


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one rider at one station."""

    given: tuple[Claim, ...] = ()
    """Claims that came as such: presence, check-in."""
    home_since: datetime | None = None
    """Since when this is one of the rider's home stations, aware UTC."""
    visits: Visits | None = None
    """The rider's visits here, added up around this hour of the week."""
    last: LastTap | None = None
    """The rider's last tap, wherever it was."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """A claim that somebody might look for, and that holds no longer or not yet."""

    source: str
    """The name of a source."""
    says: str
    """In words, before the moment."""
    at: datetime
    """Aware UTC."""


NOTHING = Facts()
_kind_of = cache(kind_of)


@lru_cache(maxsize=64)
def _kind_at(now: datetime, zone: tzinfo) -> Kind:
    """Return the kind of hour: a look asks for one moment as often as it has riders."""
    return _kind_of(bucket_of(now.astimezone(zone)))


@dataclass(frozen=True)
class Sourcing:
    """The sources of one city."""

    network: Network
    """Stations and tracks: how long a ride takes."""
    zone: tzinfo
    """The city's: habits go by the hour that people live in."""
    travel: TravelConfig = field(default_factory=TravelConfig)
    sources: Mapping[str, Source] = field(default_factory=lambda: by_name(SHIPPED))
    """By name; whatever is not here claims nobody."""

    def hour(self, now: datetime) -> Kind:
        """Return which hour of the week it is, and which ones are like it.

        Args:
            now: Aware.
        """
        return _kind_at(now, self.zone)

    def local(self, moment: datetime) -> datetime:
        """Return a moment in the city's time zone."""
        return moment.astimezone(self.zone)

    def windows(self, station_id: str) -> Mapping[str, Window]:
        """Return when whoever entered at a station of the network may leave here.

        Args:
            station_id: The exit.
        """
        return {entry: self.window(entry, station_id) for entry in self._rides}

    def window(self, entry_id: str, station_id: str) -> Window:
        """Return when somebody who entered at one station may leave at another."""
        key = entry_id, station_id
        known = self._windows.get(key)
        if known is None:
            ride = self._rides.get(entry_id, {}).get(station_id)
            source = self.sources.get(OPEN_TRIP.name, OPEN_TRIP)
            known = self._windows[key] = window(ride, self.travel, source)
        return known

    def claims(
        self, station_id: str, rider_ref: UUID, facts: Facts, now: datetime
    ) -> tuple[Claim, ...]:
        """Return the claims that hold for a rider at a station.

        Args:
            station_id: Where.
            rider_ref: Who.
            facts: What is known.
            now: Aware UTC.
        """
        found: list[Claim | None] = list(facts.given)
        habit = self._habit(station_id, rider_ref, facts, now) if facts.visits else None
        found.append(habit)
        home = self.sources.get(HOME.name)
        if home is not None and facts.home_since is not None:
            found.append(at_home(rider_ref, station_id, facts.home_since, source=home))
        found.append(self._from_tap(station_id, facts, habit, now))
        sources = self.sources  # a list, not a generator: a look comes by for each of its riders
        return tuple(
            [
                claim
                for claim in found
                if claim is not None and claim.source in sources and claim.holds(now)
            ]
        )

    def lapses(self, station_id: str, facts: Facts, now: datetime) -> tuple[Lapse, ...]:
        """Return what a rider's facts claimed before, or will claim soon.

        Args:
            station_id: Where.
            facts: What is known; given claims may have ended.
            now: Aware UTC.
        """
        found = [
            Lapse(claim.source, "the claim ended", claim.until)
            for claim in facts.given
            if claim.until is not None and claim.until <= now
        ]
        last = facts.last
        if last is not None and last.is_open:
            when = self.window(last.station_id, station_id)
            if now < last.at + when.opens:
                says = f"entered at {last.station_id}, and may be here from"
                found.append(Lapse(OPEN_TRIP.name, says, last.at + when.opens))
            elif last.at + when.closes <= now:
                says = f"entered at {last.station_id}, and was looked for here until"
                found.append(Lapse(OPEN_TRIP.name, says, last.at + when.closes))
        elif last is not None and last.station_id != station_id:
            says = f"left by {last.station_id} and not by this station,"
            found.append(Lapse(LAST_EXIT.name, says, last.at))
        return tuple(found)

    def spare(self, station_id: str, rider_ref: UUID, now: datetime) -> Claim | None:
        """Return the claim of somebody who is known everywhere while the city fits."""
        if SPARE.name not in self.sources:
            return None
        return Claim(station_id, rider_ref, SPARE.name, 0.0, now)

    def _habit(self, station_id: str, rider_ref: UUID, facts: Facts, now: datetime) -> Claim | None:
        source = self.sources.get(HABIT.name)
        if source is None or facts.visits is None:
            return None
        days = self.hour(now).days
        return claim_of(rider_ref, station_id, facts.visits, days, now, source)

    def _from_tap(
        self, station_id: str, facts: Facts, habit: Claim | None, now: datetime
    ) -> Claim | None:
        """Return what the last tap says: on the way to here, or gone from here."""
        last = facts.last
        if last is None:
            return None
        if not last.is_open:
            source = self.sources.get(LAST_EXIT.name)
            if source is None or last.station_id != station_id:
                return None
            return left_here(last, now, is_home=facts.home_since is not None, source=source)
        source = self.sources.get(OPEN_TRIP.name)
        if source is None:
            return None
        homeward = HOMEWARD if facts.home_since is not None else 0.0
        otherwise = max(habit.weight if habit else 0.0, homeward)
        when = self.window(last.station_id, station_id)
        return on_the_way(last, station_id, when, now, otherwise=otherwise, source=source)

    @cached_property
    def _windows(self) -> dict[tuple[str, str], Window]:
        """Those asked for before: a look asks once for each of a hundred thousand travellers."""
        return {}

    @cached_property
    def _rides(self) -> Mapping[str, Mapping[str, timedelta]]:
        return MappingProxyType(
            {each: rides(self.network, each, self.travel) for each in self.network.stations}
        )
