"""What the cloud remembers of the weeks before a simulated day: who uses which station when.

The shipped habit source's rules (`cloud_sync.prefilter.habit`) over arrays: the day is a working
day, so visits are kept by hour for its own weekday and for all working days.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_sync.city.people import Floats, Ints, Trips
from cloud_sync.prefilter.habit import HALF_LIFE, STEADY, steadiness

HOURS = 24
_WORKDAYS = 5
_READINGS = (1 / STEADY, 0.8 / (STEADY * _WORKDAYS), 0.4 / (STEADY * _WORKDAYS))
"""What a visit at the very hour of the week, at this hour of working days, and within an hour of it
counts: the factors of `cloud_sync.prefilter.habit.likelihood`."""
_EVER = 0.04
"""And for whoever was ever here."""
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Faded visits by station, hour and rider, sorted; arrays of shape (K,)."""

    keys: Keys
    """(station * 24 + hour) * riders + rider."""
    weight: Floats
    riders: int

    def around(self, station: int, hour: int) -> tuple[Ints, Floats]:
        """Return who was at a station at an hour, sorted, and their faded visits."""
        low = (station * HOURS + hour % HOURS) * self.riders
        first, last = np.searchsorted(self.keys, (low, low + self.riders))
        return (self.keys[first:last] - low).astype(np.int32), self.weight[first:last]

    def of(self, station: Ints, hour: int, rider: Ints) -> Floats:
        """Return the faded visits of each rider at a station at an hour.

        Args:
            station: Shape (P,).
            hour: One for all.
            rider: Shape (P,).
        """
        wanted = (station.astype(np.int64) * HOURS + hour % HOURS) * self.riders + rider
        place, held = found(self.keys, wanted)
        visits = np.zeros(len(wanted), np.float32)
        visits[held] = self.weight[place[held]]
        return visits


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """All that is known when the day begins."""

    own: Visits
    """On the simulated day's weekday."""
    kin: Visits
    """On working days."""
    users: Keys
    """station * riders + rider of whoever used a station at any time, sorted, shape (U,)."""
    last_station: Ints
    """Where each rider left last, -1 where that is long ago; shape (R,)."""
    last_days: Floats
    """How many days ago that was."""

    def likely(self, station: int, hour: int) -> list[tuple[Ints, Floats]]:
        """Return riders with how likely each comes to a station within an hour, by each reading."""
        own, kin, near = _READINGS
        parts = (
            (self.own.around(station, hour), own),
            (self.kin.around(station, hour), kin),
            (self.kin.around(station, hour - 1), near),
            (self.kin.around(station, hour + 1), near),
        )
        return [(rider, steadiness(weight) * factor) for (rider, weight), factor in parts]

    def likelihood(self, station: Ints, hour: int, rider: Ints) -> Floats:
        """Return how likely each rider comes to a station within an hour.

        Args:
            station: Shape (P,).
            hour: One for all.
            rider: Shape (P,).
        """
        own, kin, near = _READINGS
        readings = (
            steadiness(self.own.of(station, hour, rider)) * own,
            steadiness(self.kin.of(station, hour, rider)) * kin,
            steadiness(self.kin.of(station, hour - 1, rider)) * near,
            steadiness(self.kin.of(station, hour + 1, rider)) * near,
            self.knows(station, rider) * np.float32(_EVER / STEADY),
        )
        best: Floats = np.max(readings, axis=0).astype(np.float32)
        return best

    def knows(self, station: Ints, rider: Ints) -> npt.NDArray[np.bool_]:
        """Return whether each rider ever used a station in the time remembered."""
        wanted = station.astype(np.int64) * len(self.last_station) + rider
        return found(self.users, wanted)[1]

    def users_of(self, station: int) -> int:
        """Return how many riders used a station in the time remembered."""
        riders = len(self.last_station)
        first, last = np.searchsorted(self.users, (station * riders, (station + 1) * riders))
        return int(last - first)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One earlier day."""

    ago: int
    """Days before the simulated one, from 1."""
    is_working: bool
    is_same: bool
    """Whether it is the same weekday."""
    trips: Trips


def remember(days: Iterable[Past], earlier: Keys, riders: int) -> Memory:
    """Learn from earlier days, the oldest first.

    Args:
        days: With their trips.
        earlier: station * riders + rider of uses before those days.
        riders: How many riders there are.
    """
    own, kin = _Gathered(), _Gathered()
    users = earlier
    last_station = np.full(riders, -1, np.int32)
    last_days = np.full(riders, np.inf, np.float32)
    for past in days:
        trips, fade = past.trips, 0.5 ** (past.ago / HALF_LIFE.days)
        used = np.concatenate(
            (
                _keys(trips.origin, trips.entry_min, trips.rider, riders),
                _keys(trips.target, trips.exit_min, trips.rider, riders),
            )
        )
        if past.is_working:
            kin.add(used, fade)
        if past.is_same:
            own.add(used, fade)
        if not past.is_working:  # working days are among the visits anyway
            users = np.union1d(users, _users(used, riders))
        order = np.argsort(trips.exit_min, kind="stable")  # of several exits the last counts
        last_station[trips.rider[order]] = trips.target[order]
        last_days[trips.rider] = past.ago
    kin_keys, kin_weight = kin.gathered()
    own_keys, own_weight = own.gathered()
    return Memory(
        own=Visits(own_keys, own_weight, riders),
        kin=Visits(kin_keys, kin_weight, riders),
        users=np.union1d(users, _users(kin_keys, riders)),
        last_station=last_station,
        last_days=last_days,
    )


class _Gathered:
    """Visits as they come, merged now and then so that memory stays bounded."""

    _MERGE_DAYS = 10

    def __init__(self) -> None:
        self._parts: list[tuple[Keys, Floats]] = []

    def add(self, used: Keys, fade: float) -> None:
        self._parts.append((used, np.full(len(used), fade, np.float32)))
        if len(self._parts) > self._MERGE_DAYS:
            self._parts = [self.gathered()]

    def gathered(self) -> tuple[Keys, Floats]:
        if not self._parts:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        keys = np.concatenate([part[0] for part in self._parts])
        weights = np.concatenate([part[1] for part in self._parts])
        order = np.argsort(keys, kind="stable")  # radix sort on integers
        keys, weights = keys[order], weights[order]
        first = np.nonzero(np.diff(keys, prepend=-1))[0]
        return keys[first], np.add.reduceat(weights, first)


def found(keys: Keys, wanted: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where each wanted key may stand among sorted keys, and whether it does."""
    if not len(keys):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


def _keys(station: Ints, minute: Floats, rider: Ints, riders: int) -> Keys:
    hour = minute.astype(np.int64) // 60
    keys: Keys = (station.astype(np.int64) * HOURS + hour) * riders + rider
    return keys


def _users(keys: Keys, riders: int) -> Keys:
    """Return station * riders + rider of visits, sorted, each once."""
    return np.unique(keys // riders // HOURS * riders + keys % riders)
