"""The operator asks why, and how well the prefilter guesses."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cloud_sync.adapters import claims, prefilter_chores
from cloud_sync.adapters.why import report, sizes, why
from cloud_sync.explain import Absence, Explanation, in_words
from cloud_sync.master import Deactivate, Standing, Withdraw
from fare.tap import Direction
from tests.cloud_city import BELL, NOON, SMALL, City, tiers
from tests.contract.test_claim_store import tap
from tests.templates import rider
from tests.unit.cloud_sync.test_tap_tail import arrive, step


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city whose views are small."""
    return City(cloud)


def ask(city: City, name: str, station: str = BELL) -> Explanation | None:
    """Ask why somebody is in a view."""
    with city.engine.begin() as connection:
        return why(connection, city.membership, rider(name), station, NOON)


def home(city: City, *names: str) -> None:
    """Let people live at the Bell Tower."""
    with city.engine.begin() as connection:
        for name in names:
            claims.set_homes(connection, rider(name), [BELL], NOON)


class TestWhy:
    """Every place has a reason."""

    def test_says_source_rank_and_tier(self, city: City) -> None:
        """A rider at home is told with source, rank and tier."""
        home(city, "Ana")
        city.enroll("Ana")

        told = ask(city, "Ana")

        assert told is not None
        assert (told.rank, told.tier, told.subject.held) == (1, 1, 1)
        assert "home 0.01: chose this as a home station" in "\n".join(in_words(told))

    @pytest.mark.parametrize(
        ("name", "absence"),
        [
            ("Ben", Absence.NO_CLAIM),
            ("Pat", Absence.INACTIVE),
            ("Will", Absence.GONE),
            ("Nobody", Absence.UNKNOWN_RIDER),
        ],
    )
    def test_why_not(self, name: str, absence: Absence, city: City) -> None:
        """Who is not there is told why not."""
        city.enroll("Ben", "Pat", "Will")
        city.settle(Deactivate(rider("Pat")), Withdraw(rider("Will"), NOON))

        told = ask(city, name)

        assert told is not None
        assert told.absence is absence

    def test_outranked(self, city: City) -> None:
        """The sixth of a view of five is told that others have better claims."""
        names = [f"rider {number}" for number in range(6)]
        home(city, *names)
        city.enroll(*names)
        city.look()

        absences = [told.absence for name in names if (told := ask(city, name))]

        assert sorted(absences, key=str) == [None] * 5 + [Absence.OUTRANKED]

    def test_unknown_station(self, city: City) -> None:
        """A station without a view is told as none."""
        assert ask(city, "Ana", "atlantis") is None

    def test_standing(self, city: City) -> None:
        """What the master gallery says is part of the answer."""
        city.enroll("Ben")
        told = ask(city, "Ben")

        assert told is not None
        assert told.subject.standing is Standing.ACTIVE


class TestReport:
    """How well it works."""

    def test_rates_and_sizes(self, city: City) -> None:
        """Hit rates a source and sizes against the budget are lines of text."""
        home(city, "Ana")
        city.enroll("Ana")
        city.look()
        arrive(city, tap("Ana", BELL, Direction.ENTRY))
        step(city)

        with city.engine.begin() as connection:
            lines = report(connection, SMALL, NOON.date() - timedelta(days=1))
            (size,) = sizes(connection, SMALL)

        assert "  entry all sources 100.0 % in the view (1 of 1; first tier 1, second 0)" in lines
        assert "  entry home        100.0 % in the view (1 of 1; first tier 1, second 0)" in lines
        assert (size.first, size.first_bound, size.outside) == (1, 2, 0)

    def test_nothing_yet(self, city: City) -> None:
        """Before the first passage the report says so."""
        with city.engine.begin() as connection:
            assert "  none yet" in report(connection, SMALL, NOON.date())


class TestChores:
    """The loops beside the server."""

    def test_a_tap_becomes_a_place_in_a_view(self, city: City) -> None:
        """Left alone, the chores learn from a tap and reconcile every view; then they are ended."""
        home(city, "Ana")
        city.enroll("Ana")
        city.settle(Deactivate(rider("Ana")))
        with city.engine.begin() as connection:  # as an older version left it: no view follows
            connection.execute(sa.text("UPDATE cloud_sync.master_rider SET standing = 'active'"))
            connection.execute(sa.text("UPDATE cloud_sync.master_template SET is_active = true"))
        arrive(city, tap("Ana", BELL, Direction.EXIT))

        async def some_time() -> None:
            chores = asyncio.create_task(
                prefilter_chores.run(city.engine, city.membership, lambda: NOON)
            )
            for _ in range(200):
                await asyncio.sleep(0.05)
                if city.view() and _learned(city):
                    break
            chores.cancel()
            await asyncio.gather(chores, return_exceptions=True)

        asyncio.run(some_time())

        assert city.view() == tiers(Ana=1)
        assert _learned(city)


def _learned(city: City) -> bool:
    with city.engine.begin() as connection:
        query = sa.text("SELECT count(*) FROM cloud_sync.last_tap")
        return bool(connection.execute(query).scalar_one())
