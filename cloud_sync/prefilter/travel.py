"""From a rider's last tap to where the rider comes next: open trips, and the station left by.

Comes in: the last tap and the way between stations. Goes out: claims with a window of arrival, so
that a view holds those who can be there soon and not all who travel.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.prefilter.claim import HOME, LAST_EXIT, OPEN_TRIP, WEIGHT_MAX, Claim, Source
from fare.network import Network
from fare.tap import Direction

STAY_HALVING = timedelta(hours=8)
"""The way back is likely within the day; on the days after, habit knows better."""


HOMEWARD = 0.5
"""How likely a trip that began elsewhere ends at a home station, while it may: half of all trips
are ways back, and the others begin at home."""
BACK_HOME = 0.1
"""What a last exit counts at a home station: whoever is back goes out again tomorrow, by habit. In
a simulated city of 300,000 riders such exits were 62 % of the places that last exits took in first
tiers, and brought 2 % of the passages that were found by them."""

Weight = TypeVar("Weight", float, npt.NDArray[np.floating])


@dataclass(frozen=True, slots=True)
class TravelConfig:
    """How long a ride takes."""

    speed_m_s: float = 9.7
    """Along the track with stops, meters a second, above 0: 35 km/h, a usual commercial speed of a
    metro."""
    access: timedelta = timedelta(minutes=5)
    """From the gate to the platform, waiting, and from the platform to the other gate."""
    early: float = 0.6
    """The window opens at this share of the expected ride, 0 to 1."""
    late: float = 1.6
    """And closes at this multiple of it, 1 or more."""
    slack: timedelta = timedelta(minutes=10)
    """Plus so long: a missed train, a word with a friend."""
    unknown: timedelta = timedelta(minutes=25)
    """The expected ride where no track is known between the two."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not (self.speed_m_s > 0 and 0 <= self.early <= 1 <= self.late):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class LastTap:
    """Where a rider tapped last, and which way."""

    rider_ref: UUID
    station_id: str
    direction: Direction
    at: datetime
    """Aware UTC, by the gate's clock."""

    @property
    def is_open(self) -> bool:
        """Return whether the rider is on the way."""
        return self.direction is Direction.ENTRY


def later(before: LastTap | None, tap: LastTap) -> LastTap:
    """Return which of two taps of one rider was the last, whatever the order of arrival."""
    return tap if before is None or tap.at > before.at else before


def rides(network: Network, from_id: str, config: TravelConfig) -> Mapping[str, timedelta]:
    """Return the expected ride from one station to every other that a track leads to.

    Args:
        network: The city's.
        from_id: A station's id; one that is not in the network reaches none.
        config: How long a ride takes.
    """
    near: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for line in network.lines:
        for (one, other), metres in zip(pairwise(line.stations), line.metres, strict=True):
            near[one].append((other, metres))
            near[other].append((one, metres))
    reached: dict[str, int] = {}
    frontier = [(0, from_id)] if from_id in network.stations else []
    while frontier:
        metres, here = heapq.heappop(frontier)
        if here in reached:
            continue
        reached[here] = metres
        for onward, step in near[here]:
            heapq.heappush(frontier, (metres + step, onward))
    return {
        station: config.access + timedelta(seconds=metres / config.speed_m_s)
        for station, metres in reached.items()
    }


@dataclass(frozen=True, slots=True)
class Window:
    """When somebody who entered elsewhere may leave here, counted from the entry."""

    opens: timedelta
    expected: timedelta
    closes: timedelta


def window(ride: timedelta | None, config: TravelConfig, source: Source = OPEN_TRIP) -> Window:
    """Return the window of arrival of a ride.

    Args:
        ride: As expected; None where no track is known, which opens the window at once and keeps
            it open as long as the source lets a claim live.
        config: How long a ride takes.
        source: The source's settings.
    """
    longest = source.ttl or timedelta.max
    if ride is None:
        return Window(timedelta(0), config.unknown, longest)
    closes = min(ride * config.late + config.slack, longest)
    return Window(min(ride * config.early, closes), min(ride, closes), closes)


def nearness(elapsed: timedelta, when: Window) -> float:
    """Return how near somebody is in travel time: 1 when due now, 0 outside the window.

    Args:
        elapsed: Since the entry.
        when: The window of arrival.
    """
    if not when.opens <= elapsed < when.closes:
        return 0.0
    if elapsed <= when.expected:
        span, past = when.expected - when.opens, elapsed - when.opens
    else:
        span, past = when.closes - when.expected, when.closes - elapsed
    # A quarter at the edges: whoever may be here counts as soon as the window is open.
    return 0.25 + 0.75 * (past / span if span else 1.0)


def on_the_way(
    tap: LastTap,
    station_id: str,
    when: Window,
    now: datetime,
    *,
    otherwise: float = 0.0,
    source: Source = OPEN_TRIP,
) -> Claim | None:
    """Return the claim that an open trip makes on an exit now, None outside the window.

    Args:
        tap: The entry.
        station_id: The exit.
        when: The window of arrival there.
        now: Aware UTC.
        otherwise: How likely habit and home (`HOMEWARD`) make this exit for the rider, 0 to 1;
            where they know nothing, one exit is as likely as another.
        source: The source's settings.
    """
    if not tap.is_open:
        return None
    near = nearness(now - tap.at, when)
    if near <= 0:
        return None
    weight = min(WEIGHT_MAX, near * max(source.weight, otherwise))
    return Claim(
        station_id, tap.rider_ref, source.name, weight, tap.at + when.opens, tap.at + when.closes
    )


def left_here(
    tap: LastTap, now: datetime, *, is_home: bool = False, source: Source = LAST_EXIT
) -> Claim | None:
    """Return the claim of somebody who left by this station last; it halves as time goes by.

    Args:
        tap: The last tap, an exit.
        now: Aware UTC.
        is_home: Whether the station is a home station of the rider.
        source: The source's settings.
    """
    if tap.is_open or source.ttl is None or not timedelta(0) <= now - tap.at < source.ttl:
        return None
    weight = weight_of_exit((now - tap.at) / STAY_HALVING, is_home, source)
    return Claim(tap.station_id, tap.rider_ref, source.name, weight, tap.at, tap.at + source.ttl)


def weight_of_exit(
    halvings: Weight, is_home: bool | npt.NDArray[np.bool_], source: Source = LAST_EXIT
) -> Weight:
    """Return how likely somebody comes back to where they left; for one rider, or for arrays.

    Args:
        halvings: How often `STAY_HALVING` has passed since, 0 or more.
        is_home: Whether the station is a home station of the rider.
        source: The source's settings.
    """
    weight: Weight = source.weight * 0.5**halvings * (1 - (1 - BACK_HOME) * is_home)
    return weight


def at_home(rider_ref: UUID, station_id: str, since: datetime, *, source: Source = HOME) -> Claim:
    """Return the claim that a home station makes.

    Args:
        rider_ref: Who.
        station_id: Which station.
        since: When it was chosen, aware UTC.
        source: The source's settings.
    """
    return Claim(station_id, rider_ref, source.name, source.weight, since)
