"""Who lives in a simulated city, and the trips they make on a day.

Stations and riders are numbers from 0; times are minutes after midnight. Arrays of one length
stand for records, so that three million riders fit into a small machine.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_sync.city.config import DAY_MIN, CityDay, Ground, Riding
from fare.network import Network

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_LAST_OUT_MIN = DAY_MIN - 60.0
"""Nobody sets out in the last hour: every trip ends on its day."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """What lies between the stations."""

    station_ids: tuple[str, ...]
    minutes: Floats
    """From gate to gate, shape (S, S); `access_min` on the diagonal."""
    metres: Floats
    """Of track, shape (S, S)."""


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The riders; every array has shape (R,)."""

    home: Ints
    """Station."""
    work: Ints
    """Station; equals `home` for those who do not commute."""
    out_min: Floats
    """Their usual time of setting out for work."""
    back_min: Floats
    chose_home: npt.NDArray[np.bool_]
    """Whether home (and work) are known to the app."""
    commuters: Ints
    """The numbers of those who commute."""
    pull: Floats
    """Where other trips go: shape (S, S), rows sum up to 1 cumulatively."""
    activity: npt.NDArray[np.float64]
    """Cumulative share of other trips by rider, for drawing."""

    def chose(self, rider: Ints, station: Ints) -> npt.NDArray[np.bool_]:
        """Return whether each rider chose a station in the app.

        Args:
            rider: Shape (P,).
            station: Shape (P,).
        """
        theirs = (self.home[rider] == station) | (self.work[rider] == station)
        chose: npt.NDArray[np.bool_] = self.chose_home[rider] & theirs
        return chose


@dataclass(frozen=True, slots=True, eq=False)
class Trips:
    """The trips of a day by entry time; every array has shape (T,)."""

    rider: Ints
    origin: Ints
    target: Ints
    entry_min: Floats
    exit_min: Floats


def ways(network: Network, ground: Ground) -> Ways:
    """Return distances and times between all stations, on the shortest track.

    Args:
        network: Connected.
        ground: The speed.
    """
    ids = tuple(network.stations)
    place = {station: number for number, station in enumerate(ids)}
    metres = np.full((len(ids), len(ids)), np.inf, np.float32)
    np.fill_diagonal(metres, 0)
    for line in network.lines:
        for (a, b), length in zip(
            zip(line.stations, line.stations[1:], strict=False), line.metres, strict=True
        ):
            i, j = place[a], place[b]
            metres[i, j] = metres[j, i] = min(metres[i, j], length)
    for via in range(len(ids)):  # Floyd and Warshall
        np.minimum(metres, metres[:, via, None] + metres[None, via], out=metres)
    return Ways(ids, ground.access_min + metres / ground.speed_m_min, metres)


def settle(day: CityDay, between: Ways, rng: np.random.Generator) -> People:
    """Return a city's people.

    Args:
        day: The city.
        between: Its stations.
        rng: Source of all chance.
    """
    riding, stations = day.riding, len(between.station_ids)
    size = rng.lognormal(0, day.ground.station_spread, stations)
    pull = size[None] * np.exp(-between.metres / day.ground.gravity_m)
    np.fill_diagonal(pull, 0)
    pull = np.cumsum(pull / pull.sum(1, keepdims=True), axis=1).astype(np.float32)
    home = rng.choice(stations, riding.riders, p=size / size.sum()).astype(np.int32)
    commuting = riding.face_trips * riding.commuter_trip_share / (2 * riding.commute_probability)
    commuters = rng.choice(
        riding.riders, min(round(commuting), riding.riders), replace=False
    ).astype(np.int32)
    work = home.copy()
    work[commuters] = _drawn(pull, home[commuters], rng)
    activity = rng.lognormal(0, riding.activity_spread, riding.riders)
    return People(
        home=home,
        work=work,
        out_min=rng.normal(riding.out_min, riding.out_spread_min, riding.riders).astype(np.float32),
        back_min=rng.normal(riding.back_min, riding.back_spread_min, riding.riders).astype(
            np.float32
        ),
        chose_home=rng.random(riding.riders) < day.means.home_share,
        commuters=commuters,
        pull=pull,
        activity=np.cumsum(activity / activity.sum()),
    )


def travel(
    people: People, riding: Riding, between: Ways, rng: np.random.Generator, *, is_working: bool
) -> Trips:
    """Return the trips of one day.

    Args:
        people: Who may travel.
        riding: How many do.
        between: The stations.
        rng: Source of all chance.
        is_working: Whether commuters go to work.
    """
    parts = [_leisure(people, riding, rng)]
    if is_working:
        parts += _commutes(people, riding, rng)
    rider, origin, target, entry = (np.concatenate(column) for column in zip(*parts, strict=True))
    entry = np.clip(entry, 0, _LAST_OUT_MIN)
    wait = rng.gamma(4.0, 0.75, len(entry)).astype(np.float32)  # 3 min for a train, never none
    leave = np.minimum(entry + between.minutes[origin, target] + wait, DAY_MIN - 1)
    order = np.argsort(entry, kind="stable")
    return Trips(*(column[order] for column in (rider, origin, target, entry, leave)))


def used_before(
    people: People, riding: Riding, days: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return who used their home station at least once in a long time, as station * R + rider.

    Args:
        people: Who may travel.
        riding: How many do.
        days: How long.
        rng: Source of all chance.
    """
    outings = riding.face_trips * (1 - riding.commuter_trip_share) / (1 + riding.return_probability)
    rate = np.diff(people.activity, prepend=0.0) * outings
    used = rng.random(len(rate)) < -np.expm1(-rate * days)
    riders = len(people.home)
    return people.home[used].astype(np.int64) * riders + np.nonzero(used)[0]


Part = tuple[Ints, Ints, Ints, Floats]


def _commutes(people: People, riding: Riding, rng: np.random.Generator) -> list[Part]:
    parts: list[Part] = []
    for usual, origin, target in (
        (people.out_min, people.home, people.work),
        (people.back_min, people.work, people.home),
    ):
        go = people.commuters[rng.random(len(people.commuters)) < riding.commute_probability]
        entry = usual[go] + rng.normal(0, riding.habit_spread_min, len(go))
        parts.append((go, origin[go], target[go], entry.astype(np.float32)))
    return parts


def _leisure(people: People, riding: Riding, rng: np.random.Generator) -> Part:
    """Draw trips there and back from home; few are made by many, most by the active."""
    trips = riding.face_trips * (1 - riding.commuter_trip_share)
    outings = rng.poisson(trips / (1 + riding.return_probability))
    who = np.searchsorted(people.activity, rng.random(outings)).astype(np.int32)
    who = np.minimum(who, len(people.home) - 1)
    there = _drawn(people.pull, people.home[who], rng)
    entry = rng.uniform(riding.leisure_from_min, riding.leisure_until_min, outings)
    back = entry + 45 + rng.exponential(riding.stay_min, outings)
    returns = (rng.random(outings) < riding.return_probability) & (back < _LAST_OUT_MIN)
    return (
        np.concatenate((who, who[returns])),
        np.concatenate((people.home[who], there[returns])),
        np.concatenate((there, people.home[who][returns])),
        np.concatenate((entry, back[returns])).astype(np.float32),
    )


def _drawn(pull: Floats, origin: Ints, rng: np.random.Generator) -> Ints:
    """Draw a target for each origin."""
    drawn = rng.random(len(origin), dtype=np.float32)
    target = np.empty(len(origin), np.int32)
    for station in range(len(pull)):
        mine = origin == station
        target[mine] = np.searchsorted(pull[station], drawn[mine])
    return np.minimum(target, len(pull) - 1)
