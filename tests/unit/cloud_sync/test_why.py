"""The operator asks why, and how well the prefilter guesses."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.console.city_desk import PostgresCityDesk
from cloud_sync.adapters.console.metrics import exposition
from cloud_sync.adapters.console.view_metrics import ViewCollector
from cloud_sync.adapters.postgres import claims
from cloud_sync.adapters.postgres.prefilter import chores as prefilter_chores
from cloud_sync.adapters.postgres.prefilter.known import find
from cloud_sync.adapters.postgres.prefilter.why import report, sizes, why
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.gallery import Denial, DenialReason, PutDenial
from cloud_sync.master.gallery import Deactivate, Standing, Withdraw
from cloud_sync.prefilter.explain import Absence, Explanation, as_json, in_words
from fare.tap import Direction
from tests.cloud_city import BELL, NOON, NORTH, SMALL, SOURCING, City, tiers
from tests.contract.test_claim_store import tap
from tests.keys import SAFE
from tests.templates import SPACE, rider
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


class TestWords:
    """What a station's manager reads."""

    def words(self, city: City, name: str, now: datetime = NOON) -> str:
        """Ask, and return the lines."""
        with city.engine.begin() as connection:
            told = why(connection, city.membership, rider(name), BELL, now)
        assert told is not None
        json.dumps(as_json(told))
        return "\n".join(in_words(told, SOURCING.zone))

    def test_both_tiers_and_outside(self, city: City) -> None:
        """Rank, cut and rule are told of the first, the second and the view's end."""
        names = [f"rider {number}" for number in range(6)]
        home(city, *names)
        city.enroll(*names)
        city.look()
        with city.engine.begin() as connection:
            places = find(connection, city.membership, BELL, NOON).ranking.places
        name_of = {rider(name): name for name in names}
        of_rank = {place.rank: name_of[place.rider_ref] for place in places}

        first = self.words(city, of_rank[2])
        second = self.words(city, of_rank[3])
        outside = self.words(city, of_rank[6])

        rule = "(first tier 2 as a rule, 4 at most)"
        assert ": in the first tier" in first
        assert "rank 2 of 6: takes a place that no likely rider needs: the first tier ends" in first
        assert f"at rank 2 {rule}" in first
        assert "moves down when 1 more riders" in first
        assert ": in the second tier" in second
        assert "rank 3 of 6: stands behind the first tier: it ends at rank 2" in second
        assert "and the second tier at rank 5" in second
        assert ": not in the view" in outside
        assert "the view is full of riders with better claims" in outside
        assert "rank 6 of 6: stands behind the last place: the view ends at rank 5" in outside

    def test_evicted_but_still_held(self, city: City) -> None:
        """Whoever is held and no longer belongs there is told both, and what comes next."""
        home(city, "Ana")
        city.enroll("Ana")
        city.look()
        with city.engine.begin() as connection:
            claims.set_homes(connection, rider("Ana"), [], NOON)

        told = self.words(city, "Ana")

        assert ": in the first tier" in told
        assert "belongs not in the view; the next reconcile brings it there" in told
        assert "no source expects the rider here" in told

    def test_a_check_in_that_ended(self, city: City) -> None:
        """A claim that is over is named with its end, in the city's time."""
        city.enroll("Ana")
        end = NOON + timedelta(minutes=20)
        city.claim("Ana", until=end)

        assert "check_in 0.90: checked in by app or code, until 2026-05-04 20:20" in self.words(
            city, "Ana"
        )
        over = self.words(city, "Ana", end)
        assert "check_in: the claim ended 2026-05-04 20:20:00" in over
        assert "no source expects the rider here" in over

    def test_a_trip_before_and_after_its_window(self, city: City) -> None:
        """A traveller is told from when the exit looks for them, and until when it did."""
        city.enroll("Ana")
        with city.engine.begin() as connection:
            claims.note(connection, SOURCING, [tap("Ana", NORTH, Direction.ENTRY)])
        window = SOURCING.window(NORTH, BELL)

        assert f"entered at {NORTH}, and may be here from" in self.words(city, "Ana")
        now = NOON + window.expected
        assert "open_trip 0.02: is on the way, until" in self.words(city, "Ana", now)
        now = NOON + window.closes
        assert "and was looked for here until" in self.words(city, "Ana", now)

    def test_paused_withdrawn_and_denied(self, city: City) -> None:
        """A pause, a withdrawal and the deny list are told with their times."""
        city.enroll("Pat", "Will", "Dan")
        until = NOON + timedelta(minutes=2)
        city.settle(Deactivate(rider("Pat")), Withdraw(rider("Will"), until))
        denial = PutDenial(Denial(rider("Dan"), DenialReason.LOST, NOON))
        log = PostgresViewLog(city.engine, SAFE, dimension=SPACE.dimension)
        log.publish([BELL], [denial])

        paused, gone, denied = (self.words(city, name) for name in ("Pat", "Will", "Dan"))

        assert "paused by the rider, held back by staff, or not enrolled yet (inactive," in paused
        assert "since 2026-05-04 20:00:00 CST" in paused
        assert "has withdrawn, and that is final (gone, since" in gone
        assert "on the deny list (withdrawn) since" in gone
        assert "until 2026-05-04 20:02:00 CST" in gone
        assert "refused by face and code: on the deny list (lost) since" in denied


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

    def test_metrics(self, city: City) -> None:
        """Each source's hit rate at entry and at exit, and each view's size, are figures."""
        home(city, "Ana")
        city.enroll("Ana", "Ben")
        city.look()
        arrive(city, tap("Ana", BELL, Direction.ENTRY))
        step(city)
        arrive(city, tap("Ben", BELL, Direction.EXIT))
        step(city)
        desk = PostgresCityDesk(city.engine, city.membership)
        now = NOON + timedelta(seconds=30)

        told = exposition([ViewCollector(desk.rates, desk.sizes, clock=lambda: now)]).decode()

        ratio = "gateline_source_hit_ratio"
        assert f'{ratio}{{direction="entry",source="home",tier="1"}} 1.0' in told
        assert f'{ratio}{{direction="exit",source="all",tier="1"}} 0.0' in told
        assert 'gateline_passages_judged{direction="exit"} 1.0' in told
        assert f'gateline_view_riders{{station="{BELL}",tier="1"}} 1.0' in told
        assert f'gateline_view_bound{{station="{BELL}",tier="2"}} 3.0' in told
        assert f'gateline_view_glance_age_seconds{{station="{BELL}"}} 30.0' in told

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
