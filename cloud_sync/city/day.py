"""A simulated day at the gates: views are made, passages ask whether their rider was in them.

Every few minutes each station's view is made anew from the claims that the shipped sources would
make, ranked and cut as `cloud_sync.prefilter.ranking` does it. This file does no I/O and knows no
plot.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_sync.city.config import DAY_MIN, CityDay
from cloud_sync.city.memory import Memory
from cloud_sync.city.people import Floats, Ints, People, Trips, Ways
from cloud_sync.prefilter.claim import (
    CHECK_IN,
    HABIT,
    HOME,
    LAST_EXIT,
    LONG_SHOT,
    OPEN_TRIP,
    PRESENCE,
    WEIGHT_MAX,
    Source,
)
from cloud_sync.prefilter.travel import HOMEWARD, STAY_HALVING, TravelConfig, weight_of_exit

SOURCES = (PRESENCE, CHECK_IN, OPEN_TRIP, HABIT, LAST_EXIT, HOME)
"""In the order of their priority."""
_STAY_HALVING_MIN = STAY_HALVING.total_seconds() / 60


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Riders with a claim at one station, sorted and each once, and what they are ranked by."""

    rider: Ints
    rank: Floats
    """Priority of the best claim plus its weight."""

    def ranks(self, rider: Ints) -> Floats:
        """Return what each rider is ranked by, 0 where there is no claim."""
        if not len(self.rider):
            return np.zeros(len(rider), np.float32)
        place = np.minimum(np.searchsorted(self.rider, rider), len(self.rider) - 1)
        return np.where(self.rider[place] == rider, self.rank[place], 0).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one station saw in one step."""

    minute: int
    station: int
    size: int
    """Templates in the first tier."""
    known: int
    """Riders with any claim: both tiers."""
    puts: int
    """Templates pushed to bring the first tier there."""
    drops: int
    is_exit: npt.NDArray[np.bool_]
    """Of each passage, shape (P,)."""
    in_first: npt.NDArray[np.bool_]
    in_second: npt.NDArray[np.bool_]
    """Not in the first tier, but on the disk."""
    claimed: npt.NDArray[np.bool_]
    """Which source claimed the rider here, shape (P, 6) in the order of `SOURCES`."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Everything a day is replayed on."""

    day: CityDay
    between: Ways
    people: People
    memory: Memory
    trips: Trips
    users: tuple[int, ...]
    """Riders remembered at each station."""
    identified: float
    """Chance that an identification at the entrance names the rider among its proposals."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """One station in one step, and who passes."""

    minute: int
    station: int
    enter: npt.NDArray[np.intp]
    """Trips that begin."""
    leave: npt.NDArray[np.intp]
    """Trips that end."""


def replay(stage: Stage, rng: np.random.Generator, tick: Callable[[], None]) -> Iterator[Seen]:
    """Replay a working day.

    Args:
        stage: The city, its memory and the trips of the day.
        rng: Source of what is left to chance: check-ins and identifications.
        tick: Called after each step, for a progress bar.

    Yields:
        One record a station and step.
    """
    trips, stations = stage.trips, len(stage.between.station_ids)
    told = _Told(stage, rng)
    where = _LastExits(stage)
    views: list[Ints] = [np.empty(0, np.int32)] * stations
    for minute in range(0, DAY_MIN, stage.day.step_min):
        until = minute + stage.day.step_min
        entering = _within(trips.entry_min, minute, until)
        leaving = _within(trips.exit_min, minute, until)
        on_the_way = _open_trips(stage, minute)
        left = where.by_station(minute)
        for station in range(stations):
            moment = _Moment(
                minute,
                station,
                entering[trips.origin[entering] == station],
                leaving[trips.target[leaving] == station],
            )
            claims = [on_the_way[station], _habits(stage, moment), left[station]]
            seen, views[station] = _look(stage, told, moment, claims, views[station])
            yield seen
        where.moved(entering, leaving, minute)
        tick()


class _Told:
    """Who announced the coming entry: drawn once for each trip."""

    def __init__(self, stage: Stage, rng: np.random.Generator) -> None:
        means, count = stage.day.means, len(stage.trips.rider)
        named = means.presence_share * means.presence_capture * stage.identified
        self.by_presence = rng.random(count) < named
        self.by_check_in = rng.random(count) < means.check_in_share


class _LastExits:
    """Where everybody left the network last, during the day."""

    def __init__(self, stage: Stage) -> None:
        self._trips = stage.trips
        self._people = stage.people
        self._stations = len(stage.between.station_ids)
        assert LAST_EXIT.ttl is not None
        recent = stage.memory.last_days <= LAST_EXIT.ttl.days
        self._station = np.where(recent, stage.memory.last_station, -1).astype(np.int32)
        self._at_min = -stage.memory.last_days * DAY_MIN

    def by_station(self, minute: int) -> list[Known]:
        out = np.nonzero(self._station >= 0)[0].astype(np.int32)
        order = np.argsort(self._station[out], kind="stable")
        out = out[order]
        halvings = (minute - self._at_min[out]) / _STAY_HALVING_MIN
        is_home = self._people.chose(out, self._station[out])
        rank = _ranked(LAST_EXIT, weight_of_exit(halvings, is_home))
        edges = np.searchsorted(self._station[out], np.arange(self._stations + 1))
        return [
            Known(out[first:last], rank[first:last]) for first, last in itertools.pairwise(edges)
        ]

    def moved(
        self, entering: npt.NDArray[np.intp], leaving: npt.NDArray[np.intp], minute: int
    ) -> None:
        self._station[self._trips.rider[leaving]] = self._trips.target[leaving]
        self._at_min[self._trips.rider[leaving]] = minute
        self._station[self._trips.rider[entering]] = -1


def _look(
    stage: Stage, told: _Told, moment: _Moment, claims: list[Known], before: Ints
) -> tuple[Seen, Ints]:
    """Make one view and ask it for everybody who passes."""
    trips, means, station = stage.trips, stage.day.means, moment.station
    enter, leave = moment.enter, moment.leave
    guests = round(means.presence_share * means.presence_capture * len(enter))
    pushed = int(told.by_check_in[enter].sum()) + guests * means.presence_proposals
    everybody = _merged(claims)
    view, cutoff = _first_tier(everybody, stage.day, pushed)
    riders = trips.rider[np.concatenate((enter, leave))]
    here = np.full(len(riders), station, np.int32)
    hour = moment.minute // 60
    ranks = everybody.ranks(riders)
    claimed = np.zeros((len(riders), len(SOURCES)), bool)
    claimed[: len(enter), 0] = told.by_presence[enter]
    claimed[: len(enter), 1] = told.by_check_in[enter]
    claimed[:, 2] = claims[0].ranks(riders) > 0
    claimed[:, 3] = stage.memory.likelihood(here, hour, riders) > 0
    claimed[:, 4] = claims[2].ranks(riders) > 0
    claimed[:, 5] = stage.people.chose(riders, here)
    in_first = claimed[:, 0] | claimed[:, 1] | ((ranks > 0) & (ranks >= cutoff))
    kept = _shared(view, before)
    seen = Seen(
        minute=moment.minute,
        station=station,
        size=len(view) + pushed,
        known=min(len(everybody.rider) + stage.users[station], stage.day.sizes.second_max),
        puts=len(view) - kept + pushed,
        drops=len(before) - kept + pushed,
        is_exit=np.arange(len(riders)) >= len(enter),
        in_first=in_first,
        in_second=~in_first & claimed.any(1),
        claimed=claimed,
    )
    return seen, view


def _habits(stage: Stage, moment: _Moment) -> Known:
    """Return who is likely to pass at this hour; long shots stay in the second tier."""
    parts = []
    for rider, likely in stage.memory.likely(moment.station, moment.minute // 60):
        likes = likely >= HABIT.likely_min
        parts.append(Known(rider[likes], _ranked(HABIT, likely[likes])))
    return _merged(parts)


def _open_trips(stage: Stage, minute: int) -> list[Known]:
    """Return for each station who is on the way and may leave there now.

    The weight of `cloud_sync.prefilter.travel.on_the_way`: nearness in travel time, times how
    likely habit makes this exit.
    """
    trips, config = stage.trips, TravelConfig()
    inside = np.nonzero(
        (trips.entry_min < minute + stage.day.step_min) & (trips.exit_min >= minute)
    )[0]
    origin, rider = trips.origin[inside], trips.rider[inside]
    ride = stage.between.minutes[origin]
    elapsed = np.maximum(minute - trips.entry_min[inside], 0)[:, None]
    opens = ride * config.early - stage.day.step_min  # a view is made for the whole step
    closes = ride * config.late + config.slack.total_seconds() / 60
    due = (opens <= elapsed) & (elapsed < closes)
    due[np.arange(len(inside)), origin] = False
    who, station = np.nonzero(due)
    rises = (elapsed[who, 0] - opens[who, station]) / (ride - opens)[who, station]
    falls = (closes[who, station] - elapsed[who, 0]) / (closes - ride)[who, station]
    near = 0.25 + 0.75 * np.clip(np.minimum(rises, falls), 0, 1)
    usual = stage.memory.likelihood(station.astype(np.int32), minute // 60, rider[who])
    people = stage.people
    homeward = (
        people.chose_home[rider[who]]
        & (people.home[rider[who]] == station)
        & (origin[who] != station)
    )
    usual = np.maximum(usual, np.where(homeward, HOMEWARD, 0))
    weight = np.minimum(WEIGHT_MAX, near * np.maximum(OPEN_TRIP.weight, usual))
    order = np.lexsort((rider[who], station))
    who, rank = who[order], _ranked(OPEN_TRIP, weight[order])
    edges = np.searchsorted(station[order], np.arange(ride.shape[1] + 1))
    return [
        Known(rider[who[first:last]], rank[first:last]) for first, last in itertools.pairwise(edges)
    ]


def _ranked(source: Source, weight: npt.NDArray[np.floating]) -> Floats:
    """Return what claims are ranked by: priority, then weight; long shots behind all."""
    priority = np.where(weight >= source.likely_min, source.priority, LONG_SHOT)
    ranks: Floats = (priority + weight).astype(np.float32)
    return ranks


def _merged(parts: list[Known]) -> Known:
    """Return everybody once, by the best claim."""
    rider = np.concatenate([part.rider for part in parts])
    rank = np.concatenate([part.rank for part in parts])
    order = np.lexsort((-rank, rider))
    rider, rank = rider[order], rank[order]
    first = np.ones(len(rider), bool)
    first[1:] = rider[1:] != rider[:-1]
    return Known(rider[first], rank[first])


def _first_tier(known: Known, day: CityDay, pushed: int) -> tuple[Ints, float]:
    """Return the riders of the first tier, sorted, and the rank of the last who got in."""
    likely = int((known.rank >= LONG_SHOT + 1).sum()) + pushed
    places = day.sizes.first_of(likely) - pushed
    if len(known.rider) <= places:
        return known.rider, 0.0
    if places <= 0:
        return np.empty(0, np.int32), np.inf
    cutoff = np.partition(known.rank, -places)[-places]
    inside = known.rank > cutoff  # of those alike at the edge none, so that the budget holds
    return known.rider[inside], float(np.nextafter(cutoff, np.float32(np.inf)))


def _shared(view: Ints, before: Ints) -> int:
    return len(np.intersect1d(view, before, assume_unique=True))


def _within(times: Floats, low: float, high: float) -> npt.NDArray[np.intp]:
    return np.nonzero((times >= low) & (times < high))[0]
