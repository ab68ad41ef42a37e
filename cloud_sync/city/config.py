"""What a simulated city is like, read from one TOML document.

`cloud_sync/data/city-day.toml` shows the format and says where its figures come from.
"""

import tomllib
from dataclasses import dataclass
from typing import Any, get_type_hints

from cloud_sync.prefilter.budget import Budget

DAY_MIN = 1_440
"""Minutes in a day."""


class DayUnreadable(ValueError):
    """The document is not a city's day; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Riding:
    """How many people ride, and when."""

    riders: int
    """Enrolled riders, from 100."""
    face_trips: int
    """Trips by face on the simulated day, from 1."""
    commuter_trip_share: float
    """Share of them made by people on their way to work and back, 0 to 1."""
    commute_probability: float
    """Chance that a commuter makes one way by face on a working day, above 0 to 1."""
    out_min: float
    """Mean time of setting out for work, minutes after midnight."""
    out_spread_min: float
    """Spread of that mean among people, minutes."""
    back_min: float
    """Mean time of setting out for home."""
    back_spread_min: float
    """Spread of that among people."""
    habit_spread_min: float
    """Spread of one person's own time from day to day."""
    leisure_from_min: float
    """When the other trips begin, minutes after midnight; they set out evenly from then."""
    leisure_until_min: float
    """When they end."""
    stay_min: float
    """Mean stay before the way back, exponential."""
    return_probability: float
    """Chance that somebody who rode out by face rides back by face."""
    activity_spread: float
    """Sigma of the log of how often people make other trips; 0 is everybody alike."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where people live and go, and how fast the trains are."""

    station_spread: float
    """Sigma of the log of a station's size."""
    gravity_m: float
    """How far people go to work or elsewhere: the attraction of a station falls by e over these
    metres of track."""
    speed_m_min: float
    """Metres of track a minute, stops included."""
    access_min: float
    """Minutes from gate to train and from train to gate, together."""


@dataclass(frozen=True, slots=True)
class Means:
    """Which sources know what."""

    history_days: int
    """Days before the simulated one that habits were learned from."""
    known_days: int
    """How long before it a station is remembered as used, for the second tier."""
    home_share: float
    """Share of riders who chose home stations in the app."""
    check_in_share: float
    """Share of entries announced by a check-in in the app before."""
    presence_share: float
    """Share of passages at stations with entrance cameras; 0 where presence is off."""
    presence_capture: float
    """Share of people whose face an entrance camera gets in good quality."""
    presence_proposals: int
    """Templates that one identification may push, best first, from 1."""
    presence_walk_min: float
    """Minutes from the entrance camera to the gate."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many templates a view may hold, and how the gates compare."""

    first: int
    """First tier as a rule."""
    first_max: int
    """First tier at a rush, for riders who are expected, see `cloud_sync.prefilter.budget`."""
    second_max: int
    """Second tier, on disk."""
    first_share: float
    """Share of the target FPIR that the first tier's search may use; the second has the rest."""

    def first_of(self, likely: int) -> int:
        """Return how large the first tier is while so many riders are likely to come."""
        return Budget(self.first, self.first_max, self.second_max, spare_max=0).first_of(likely)


@dataclass(frozen=True, slots=True)
class CityDay:
    """All of it."""

    city: str
    """Name of a city in `fare/data`."""
    seed: int
    riding: Riding
    ground: Ground
    means: Means
    sizes: Sizes
    target_fpir: float
    """Share of strangers a gate may take for somebody."""
    step_min: int = 10
    """Between two reconciliations of a view, minutes; divides the day."""


def parse(text: str) -> CityDay:
    """Read a city's day.

    Args:
        text: TOML as in `cloud_sync/data/city-day.toml`.

    Raises:
        DayUnreadable: It is not TOML, a part is missing, or a figure is out of its range.
    """
    try:
        document = tomllib.loads(text)
        day = CityDay(
            city=str(document["city"]),
            seed=int(document["seed"]),
            riding=Riding(**_table(document, "riding", Riding)),
            ground=Ground(**_table(document, "ground", Ground)),
            means=Means(**_table(document, "means", Means)),
            sizes=Sizes(**_table(document, "sizes", Sizes)),
            target_fpir=float(document["target_fpir"]),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as problem:
        raise DayUnreadable(f"missing or of a wrong kind: {problem}") from problem
    _check(day)
    return day


def _table(document: dict[str, Any], name: str, record: type[Any]) -> dict[str, Any]:
    known = get_type_hints(record)
    table = document[name]
    if table.keys() != known.keys():
        raise KeyError(f"[{name}] {sorted(table.keys() ^ known.keys())}")
    return {key: known[key](value) for key, value in table.items()}


def _check(day: CityDay) -> None:
    riding, means = day.riding, day.means
    shares = (
        riding.commuter_trip_share,
        riding.commute_probability,
        riding.return_probability,
        means.home_share,
        means.check_in_share,
        means.presence_share,
        means.presence_capture,
    )
    if not all(0 <= share <= 1 for share in shares) or riding.commute_probability == 0:
        raise DayUnreadable("a share is not between 0 and 1")
    if not 1 <= day.sizes.first <= day.sizes.first_max or not 0 < day.sizes.first_share < 1:
        raise DayUnreadable("no first tier, or no target left for one of the tiers")
    if riding.riders < 100 or riding.face_trips < 1 or means.presence_proposals < 1:
        raise DayUnreadable("too few riders, trips or proposals")
    if DAY_MIN % day.step_min or not 0 < day.target_fpir < 1:
        raise DayUnreadable("the step does not divide the day, or no target")
    if day.ground.speed_m_min <= 0 or day.ground.gravity_m <= 0 or means.history_days < 1:
        raise DayUnreadable("a speed, a distance or the history is not above 0")
