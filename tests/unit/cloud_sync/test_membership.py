"""Views follow riders and urgent claims in the same transaction."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims
from cloud_sync.adapters.postgres.membership import ClaimOutcome
from cloud_sync.content import TemplateRefused
from cloud_sync.master.gallery import Activate, Deactivate, Erase, PutMaster, Withdraw
from cloud_sync.prefilter.budget import FIRST, SECOND
from cloud_sync.prefilter.claim import PRESENCE, bounded
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.prefilter.travel import TravelConfig
from fare.tap import Direction
from tests.cloud_city import BELL, DRUM, NOON, NORTH, ROOMY, SOURCING, City, tiers
from tests.contract.test_claim_store import tap
from tests.templates import poison, rider, template

ANA = rider("Ana")
SOON = NOON + timedelta(minutes=5)


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city whose views are small."""
    return City(cloud)


def home(city: City, name: str, *stations: str) -> None:
    """Choose home stations."""
    with city.engine.begin() as connection:
        claims.set_homes(connection, rider(name), stations, NOON)


class TestActivation:
    """Whoever becomes active is put where claims place them."""

    def test_at_home_alone(self, city: City) -> None:
        """A face that is switched on reaches the home station and no other."""
        home(city, "Ana", BELL)

        city.enroll("Ana")

        assert (city.view(BELL), city.view(DRUM)) == (tiers(Ana=FIRST), {})

    def test_everywhere_while_the_city_fits(self, cloud: sa.Engine) -> None:
        """In a small city every station knows everybody, as if there were no prefilter."""
        city = City(cloud, ROOMY)

        city.enroll("Ana", "Ben")

        for station in (BELL, DRUM, NORTH):
            assert city.view(station) == tiers(Ana=FIRST, Ben=FIRST)

    def test_nowhere_without_a_claim(self, city: City) -> None:
        """In a large city a rider whom nothing claims is in no view."""
        city.enroll("Ana")

        assert city.view(BELL) == {}

    def test_a_template_alone_tells_no_station(self, city: City) -> None:
        """Before the face is switched on no view learns of it."""
        home(city, "Ana", BELL)

        city.settle(PutMaster(template("Ana")))

        assert city.view(BELL) == {}

    def test_full_first_tier(self, city: City) -> None:
        """When the first tier is full a newcomer at home goes to the second."""
        for name in ("Ana", "Ben", "Cleo"):
            home(city, name, BELL)
        city.look(BELL)  # from here on the sizes are counted

        city.enroll("Ana", "Ben", "Cleo")

        assert sorted(city.view(BELL).values()) == [FIRST, FIRST, SECOND]

    def test_a_new_template_replaces_the_old_one_in_its_tier(self, city: City) -> None:
        """Stations that hold a rider get the next version, and nobody else does."""
        home(city, "Ana", BELL)
        city.enroll("Ana")

        city.settle(PutMaster(template("Ana", version=2)))

        assert city.view(BELL) == tiers(Ana=FIRST)
        assert city.view(DRUM) == {}

    def test_poison_reaches_no_view(self, city: City) -> None:
        """A vector that is no number undoes the whole transaction."""
        home(city, "Ana", BELL)
        with pytest.raises(TemplateRefused):
            city.settle(PutMaster(poison("Ana").template), Activate(ANA))

        assert city.view(BELL) == {}


class TestDeactivation:
    """Whoever is not active any more is in no view, in the same transaction."""

    @pytest.mark.parametrize("change", [Deactivate(ANA), Erase(ANA), Withdraw(ANA, SOON)])
    def test_drops_from_every_view_that_holds_the_rider(
        self, change: Deactivate | Erase | Withdraw, city: City
    ) -> None:
        """A pause, an erasure and a withdrawal reach the stations that hold the face."""
        home(city, "Ana", BELL, DRUM)
        home(city, "Ben", BELL)
        city.enroll("Ana", "Ben")

        city.settle(change)

        assert (city.view(BELL), city.view(DRUM)) == (tiers(Ben=FIRST), {})

    def test_a_pause_denies_nobody(self, city: City) -> None:
        """Whoever pauses the face still rides by code."""
        city.enroll("Ana")
        city.settle(Deactivate(ANA))

        assert city.denied() == {}

    def test_a_withdrawal_is_on_every_deny_list(self, city: City) -> None:
        """A code still out is refused everywhere until it has expired, face or no face."""
        city.settle(Withdraw(ANA, SOON))

        for station in (BELL, DRUM, NORTH):
            assert city.denied(station) == {ANA: SOON}

    def test_a_withdrawal_leaves_no_trace_of_ways(self, city: City) -> None:
        """Homes, habits, the last tap and claims are deleted with the withdrawal."""
        city.enroll("Ana")
        home(city, "Ana", BELL)
        with city.engine.begin() as connection:
            claims.note(connection, SOURCING, [tap("Ana", BELL, Direction.EXIT)])
        city.claim("Ana", until=SOON)

        city.settle(Withdraw(ANA, SOON))

        with city.engine.begin() as connection:
            for table in ("claim", "home", "habit", "last_tap"):
                count = connection.execute(sa.text(f"SELECT count(*) FROM cloud_sync.{table}"))
                assert (table, count.scalar_one()) == (table, 0)

    @pytest.mark.parametrize("forget", [True, False])
    def test_ways_go_with_their_consent(self, forget: bool, city: City) -> None:
        """Habits are deleted with the consent behind them, and outlive a mere pause."""
        city.enroll("Ana")
        with city.engine.begin() as connection:
            claims.note(connection, SOURCING, [tap("Ana", BELL, Direction.EXIT)])

        city.settle(Deactivate(ANA, forget_ways=forget))

        with city.engine.begin() as connection:
            for table in ("habit", "last_tap"):
                count = connection.execute(sa.text(f"SELECT count(*) FROM cloud_sync.{table}"))
                assert (count.scalar_one() == 0) is forget

    def test_an_erasure_keeps_the_choice_of_homes(self, city: City) -> None:
        """Whoever deletes the last photo keeps the chosen stations for the next one."""
        home(city, "Ana", BELL)
        city.enroll("Ana")
        city.settle(Erase(ANA))

        city.enroll("Ana", version=2)

        assert city.view(BELL) == tiers(Ana=FIRST)


class TestClaimNow:
    """Urgent claims do not wait for the reconcile."""

    def test_is_in_the_first_tier_at_once(self, city: City) -> None:
        """A check-in puts the rider into the view in its own transaction."""
        city.enroll("Ana")

        assert city.claim("Ana", until=SOON) is ClaimOutcome.PUT

        assert (city.view(BELL), city.view(DRUM)) == (tiers(Ana=FIRST), {})

    def test_goes_over_the_budget_until_the_next_look(self, city: City) -> None:
        """A full view takes an urgent rider all the same; eviction follows."""
        names = ("Ana", "Ben", "Cleo")
        for name in names:
            home(city, name, BELL)
        city.enroll(*names, "Dora")
        city.look()

        city.claim("Dora", until=SOON)
        assert sorted(city.view().values()) == [FIRST, FIRST, FIRST, SECOND]

        city.look()
        assert city.view()[rider("Dora")] == FIRST
        assert sorted(city.view().values()) == [FIRST, FIRST, SECOND, SECOND]

    def test_moves_up_from_the_second_tier(self, city: City) -> None:
        """Who waits in the second tier is moved, and who is in the first is not sent again."""
        for name in ("Ana", "Ben", "Cleo"):
            home(city, name, BELL)
        city.look()
        city.enroll("Ana", "Ben", "Cleo")
        (low,) = [name for name in ("Ana", "Ben", "Cleo") if city.view()[rider(name)] == SECOND]

        assert city.claim(low, until=SOON) is ClaimOutcome.PUT
        assert city.claim(low, until=SOON) is ClaimOutcome.HELD

        assert city.view()[rider(low)] == FIRST

    def test_nobody_who_is_not_active(self, city: City) -> None:
        """A stranger, a paused rider and one who is gone are put nowhere."""
        city.enroll("Ben", "Cleo")
        city.settle(Deactivate(rider("Ben")), Withdraw(rider("Cleo"), SOON))

        for name in ("Nobody", "Ben", "Cleo"):
            assert city.claim(name, until=SOON) is ClaimOutcome.NOT_ACTIVE

        assert city.view() == {}

    def test_unknown_station(self, city: City) -> None:
        """A station without a view is said to be none."""
        city.enroll("Ana")

        assert city.claim("Ana", "atlantis", until=SOON) is ClaimOutcome.NO_STATION

    def test_never_past_the_time_to_live(self) -> None:
        """However long a claim is asked for, its source bounds it."""
        assert bounded(PRESENCE, NOON, NOON + timedelta(days=9)) == NOON + timedelta(minutes=10)
        assert bounded(PRESENCE, NOON, SOON) == SOON

    def test_switched_off_source(self, city: City) -> None:
        """A source that the operator switched off cannot make a claim."""
        city.enroll("Ana")
        without = {name: s for name, s in SOURCING.sources.items() if name != PRESENCE.name}
        sourcing = Sourcing(SOURCING.network, SOURCING.zone, TravelConfig(), without)
        object.__setattr__(membership := city.membership, "sourcing", sourcing)

        with pytest.raises(KeyError), city.engine.begin() as connection:
            membership.claim_now(connection, BELL, ANA, PRESENCE.name, SOON, now=NOON)
