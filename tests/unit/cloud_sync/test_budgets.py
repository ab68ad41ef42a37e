"""A station may have a budget of its own, and everything that puts somebody there keeps it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import budgets, claims
from cloud_sync.adapters.postgres.prefilter.why import report, sizes
from cloud_sync.master.gallery import Activate, PutMaster
from cloud_sync.prefilter.budget import FIRST, FIRST_MOST, SECOND, SECOND_MOST, Budget, for_station
from tests.cloud_city import BELL, DRUM, NOON, City
from tests.templates import rider, template

USUAL = Budget(first=3, first_max=4, second=5, spare_max=0)
TINY = Budget(first=1, first_max=1, second=2, spare_max=0)
NAMES = [f"rider {number}" for number in range(9)]


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city in which nine live at two stations each, one of which has a budget of its own."""
    city = City(cloud, USUAL)
    order(city, BELL, TINY)
    with cloud.begin() as connection:
        for name in NAMES:
            claims.set_homes(connection, rider(name), [BELL, DRUM], NOON)
    city.settle(*(PutMaster(template(name)) for name in NAMES))
    for name in NAMES:
        city.settle(Activate(rider(name)))
    return city


def order(city: City, station: str, budget: Budget | None) -> None:
    """Give a station a budget."""
    with city.engine.begin() as connection:
        budgets.set_budget(connection, station, budget, NOON)


def spread(city: City, station: str) -> tuple[int, int]:
    """Return how many the tiers hold."""
    held = list(city.view(station).values())
    return held.count(FIRST), held.count(SECOND)


class TestKept:
    """Looks and glances cut the ranking by the station's own budget."""

    def test_by_a_look(self, city: City) -> None:
        """The station with its own budget holds so many, and the others as many as usual."""
        city.look(BELL)
        city.look(DRUM)

        assert spread(city, BELL) == (1, 2)
        assert spread(city, DRUM) == (3, 5)

    def test_by_a_glance(self, city: City) -> None:
        """A smaller budget empties the first tier at the next glance, a larger one fills it."""
        city.look(DRUM)
        order(city, DRUM, for_station(USUAL, first=1, first_max=1))
        city.reconciler.glance(DRUM, NOON, since=NOON)

        assert spread(city, DRUM)[0] == 1
        assert sum(spread(city, DRUM)) <= 6

    def test_the_usual_one_again(self, city: City) -> None:
        """A station whose budget is taken back holds as many as the others."""
        city.look(BELL)
        order(city, BELL, None)
        city.look(BELL)

        assert spread(city, BELL) == (3, 5)

    def test_is_due_at_once(self, city: City) -> None:
        """An ordered budget does not wait for the hour: the station is looked at next."""
        for station in (BELL, DRUM):
            city.look(station)
        city.reconciler.due(NOON)  # whoever was never looked at
        assert city.reconciler.due(NOON) is None

        order(city, DRUM, TINY)

        due = city.reconciler.due(NOON)
        assert due is not None
        assert (due.view_id, due.since) == (DRUM, None)

    def test_is_shown(self, city: City) -> None:
        """The report and the sizes name a station's own budget, and whose it is."""
        city.look(BELL)
        city.look(DRUM)
        with city.engine.begin() as connection:
            own = {size.station_id: size.is_own for size in sizes(connection, USUAL)}
            lines = report(connection, USUAL, NOON.date() - timedelta(days=1))

        assert own == {BELL: True, DRUM: False}
        (line,) = [line for line in lines if "its own budget" in line]
        assert "first tier 1; second tier 2" in line


@pytest.mark.parametrize(
    ("first", "first_max", "second"),
    [
        (0, None, None),
        (FIRST_MOST + 1, None, None),
        (10, 9, None),
        (10, FIRST_MOST + 1, None),
        (10, None, -1),
        (10, None, SECOND_MOST + 1),
    ],
)
def test_bounds(first: int, first_max: int | None, second: int | None) -> None:
    """A budget outside its bounds is refused, with the bounds in the words."""
    with pytest.raises(ValueError, match="riders, not"):
        for_station(Budget(), first=first, first_max=first_max, second=second)


def test_not_given_is_as_before() -> None:
    """What is not given stays, and a first tier larger than the usual rush takes the rush along."""
    assert for_station(Budget(), second=0) == Budget(second=0, spare_max=1_000)
    assert for_station(Budget(), first=12_000).first_max == 12_000
