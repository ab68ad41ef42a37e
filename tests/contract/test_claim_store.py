"""What every claim store promises, asked of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.adapters.memory.claims import MemoryClaimStore
from cloud_sync.adapters.memory.master import MemoryMasterGallery
from cloud_sync.adapters.postgres.master import PostgresMasterGallery
from cloud_sync.adapters.postgres.prefilter.store import PostgresClaimStore
from cloud_sync.master.gallery import Activate, Deactivate, MasterGallery, PutMaster, Withdraw
from cloud_sync.prefilter.claim import CHECK_IN, LAST_EXIT, PRESENCE, SPARE, Claim
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.prefilter.store import ALL, ClaimStore, Hit, hits_of
from cloud_sync.prefilter.travel import BACK_HOME
from fare.city import shipped
from fare.tap import Direction, Medium, Tap
from tests.keys import SAFE
from tests.templates import SPACE, rider, template

ANA, BEN = rider("Ana"), rider("Ben")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
"""20:00 on a Monday in Xi'an."""
NORTH, BELL = "xianbeizhan", "zhonglou"
CITY = shipped("xian")
SOURCING = Sourcing(CITY.network, CITY.tariff.timezone)


@dataclass
class Bench:
    """A store, and the gallery that says who is active."""

    store: ClaimStore
    gallery: MasterGallery

    def activate(self, *names: str) -> None:
        """Enroll people and switch their faces on."""
        for name in names:
            self.gallery.apply([PutMaster(template(name)), Activate(rider(name))], NOON)

    def sources(
        self, station_id: str, now: datetime, *, spare_max: int = 0
    ) -> dict[UUID, set[str]]:
        """Return which sources claim whom at a station."""
        found: dict[UUID, set[str]] = {}
        for claim in self.store.claims_at(station_id, now, spare_max=spare_max):
            assert claim.station_id == station_id
            found.setdefault(claim.rider_ref, set()).add(claim.source)
        return found


@pytest.fixture(params=["memory", "postgres"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Give a store of each kind."""
    if request.param == "memory":
        gallery: MasterGallery = MemoryMasterGallery(dimension=SPACE.dimension)
        return Bench(MemoryClaimStore(gallery, SOURCING), gallery)
    cloud = request.getfixturevalue("cloud")
    gallery = PostgresMasterGallery(cloud, SAFE, dimension=SPACE.dimension)
    return Bench(PostgresClaimStore(cloud, SOURCING), gallery)


def given(
    name: str, source: str = CHECK_IN.name, *, minutes: int = 30, station: str = BELL
) -> Claim:
    """Return a claim from noon on."""
    return Claim(station, rider(name), source, 0.9, NOON, NOON + timedelta(minutes=minutes))


def tap(
    name: str, station: str, direction: Direction, at: datetime = NOON, *, number: int = 1
) -> Tap:
    """Return a passage."""
    return Tap(UUID(int=number), rider(name), station, "1", direction, Medium.FACE, at, 0)


class TestGivenClaims:
    """Presence and check-in."""

    def test_counts_until_its_end(self, bench: Bench) -> None:
        """A claim is given out while it holds, at its own station alone."""
        bench.activate("Ana")

        assert bench.store.give(given("Ana"))

        assert bench.sources(BELL, NOON) == {ANA: {"check_in"}}
        assert bench.sources(NORTH, NOON) == {}
        assert bench.sources(BELL, NOON + timedelta(minutes=30)) == {}

    def test_the_later_end_counts(self, bench: Bench) -> None:
        """A second look at the entrance lengthens a claim, and an older one does not shorten it."""
        bench.activate("Ana")
        for minutes in (10, 20, 5):
            bench.store.give(given("Ana", PRESENCE.name, minutes=minutes))

        assert bench.sources(BELL, NOON + timedelta(minutes=19)) == {ANA: {"presence"}}
        assert bench.sources(BELL, NOON + timedelta(minutes=20)) == {}

    def test_a_rider_who_is_not_active_is_never_claimed(self, bench: Bench) -> None:
        """Nobody, paused or gone: no claim is kept, and one from before is not given out."""
        assert not bench.store.give(given("Nobody"))
        bench.activate("Ana", "Ben")
        for name in ("Ana", "Ben"):
            bench.store.give(given(name))

        bench.gallery.apply([Deactivate(ANA), Withdraw(BEN, NOON)], NOON)

        assert bench.sources(BELL, NOON) == {}
        assert not bench.store.give(given("Ana"))
        assert not bench.store.give(given("Ben"))


class TestHomes:
    """Home stations."""

    def test_keeps_the_order(self, bench: Bench) -> None:
        """Homes come back as chosen, and the next choice replaces them."""
        bench.store.set_homes(ANA, [NORTH, BELL], NOON)
        assert bench.store.homes(ANA) == (NORTH, BELL)

        bench.store.set_homes(ANA, [BELL], NOON)

        assert bench.store.homes(ANA) == (BELL,)

    def test_claims_without_an_end(self, bench: Bench) -> None:
        """A home claims its rider for good, once the face is on."""
        bench.store.set_homes(ANA, [BELL], NOON)
        assert bench.sources(BELL, NOON) == {}

        bench.activate("Ana")

        assert bench.sources(BELL, NOON + timedelta(days=400)) == {ANA: {"home"}}

    def test_a_home_that_stays_keeps_its_time(self, bench: Bench) -> None:
        """Adding a second home does not make the first one new."""
        bench.activate("Ana")
        bench.store.set_homes(ANA, [BELL], NOON)
        bench.store.set_homes(ANA, [NORTH, BELL], NOON + timedelta(days=1))

        (claim,) = bench.store.claims_at(BELL, NOON + timedelta(days=2), spare_max=0)

        assert claim.since == NOON


class TestTaps:
    """What taps teach."""

    def test_an_entry_is_an_open_trip(self, bench: Bench) -> None:
        """The exit claims the traveller once a train can be there, and not after."""
        bench.activate("Ana")
        bench.store.note([tap("Ana", NORTH, Direction.ENTRY)])
        ride = SOURCING.window(NORTH, BELL).expected

        assert bench.sources(BELL, NOON) == {}
        assert bench.sources(BELL, NOON + ride) == {ANA: {"open_trip"}}
        assert bench.sources(BELL, NOON + 3 * ride) == {}

    def test_an_exit_closes_it(self, bench: Bench) -> None:
        """Whoever left is claimed where they left, and on the way nowhere."""
        bench.activate("Ana")
        ride = SOURCING.window(NORTH, BELL).expected
        bench.store.note([tap("Ana", NORTH, Direction.ENTRY)])
        bench.store.note([tap("Ana", "beidajie", Direction.EXIT, NOON + ride / 2)])

        assert bench.sources(BELL, NOON + ride) == {}
        assert "last_exit" in bench.sources("beidajie", NOON + ride)[ANA]

    def test_home_again(self, bench: Bench) -> None:
        """An exit at a home station claims less there than one at another station."""
        bench.activate("Ana", "Ben")
        bench.store.set_homes(ANA, [BELL], NOON)
        bench.store.note([tap(name, BELL, Direction.EXIT) for name in ("Ana", "Ben")])

        claims = bench.store.claims_at(BELL, NOON, spare_max=0)

        left = {each.rider_ref: each.weight for each in claims if each.source == LAST_EXIT.name}
        assert left == {ANA: pytest.approx(BACK_HOME * left[BEN]), BEN: LAST_EXIT.weight}

    def test_late_entry_opens_no_trip(self, bench: Bench) -> None:
        """An entry that arrives after its exit changes nothing: the gate's clock decides."""
        bench.activate("Ana")
        ride = SOURCING.window(NORTH, BELL).expected
        bench.store.note([tap("Ana", "beidajie", Direction.EXIT, NOON + ride / 2)])
        bench.store.note([tap("Ana", NORTH, Direction.ENTRY)])

        assert bench.sources(BELL, NOON + ride) == {}

    def test_in_one_batch(self, bench: Bench) -> None:
        """Of two taps in one batch the later one counts, whichever stands first."""
        bench.activate("Ana")
        out = tap("Ana", "beidajie", Direction.EXIT, NOON + timedelta(minutes=9), number=2)
        bench.store.note([out, tap("Ana", NORTH, Direction.ENTRY)])

        assert "last_exit" in bench.sources("beidajie", NOON + timedelta(minutes=10))[ANA]

    def test_outside_the_network(self, bench: Bench) -> None:
        """Where no track is known a traveller counts at every station at once."""
        bench.activate("Ana")
        bench.store.note([tap("Ana", "atlantis", Direction.ENTRY)])

        assert bench.sources(BELL, NOON) == {ANA: {"open_trip"}}
        assert bench.sources(BELL, NOON + timedelta(hours=4)) == {}

    def test_habits_claim_at_their_hour(self, bench: Bench) -> None:
        """After four Mondays the station expects the rider on the fifth, more than at noon."""
        bench.activate("Ana")
        bench.store.note(
            [
                tap("Ana", BELL, Direction.ENTRY, NOON - timedelta(weeks=week), number=week)
                for week in (4, 3, 2, 1)
            ]
        )

        own = bench.store.claims_of([ANA], [BELL], NOON)[BELL, ANA]
        other = bench.store.claims_of([ANA], [BELL], NOON - timedelta(hours=8))[BELL, ANA]

        weights = [next(c.weight for c in claims if c.source == "habit") for claims in (own, other)]
        assert weights[0] == pytest.approx(0.24, abs=0.01)
        assert weights[1] < 0.05

    def test_habits_do_not_mind_the_order(self, bench: Bench) -> None:
        """Taps told backwards make the very habit of taps told in order."""
        bench.activate("Ana", "Ben")
        weeks = (1, 5, 2, 4)
        for name, order in (("Ana", weeks), ("Ben", sorted(weeks))):
            for number, week in enumerate(order):
                at = NOON - timedelta(weeks=week)
                bench.store.note([tap(name, BELL, Direction.ENTRY, at, number=number)])

        found = bench.store.claims_of([ANA, BEN], [BELL], NOON)

        ana, ben = (
            next(c.weight for c in found[BELL, each] if c.source == "habit") for each in (ANA, BEN)
        )
        assert ana == pytest.approx(ben, rel=1e-9)

    def test_nothing_is_learned_of_who_is_not_active(self, bench: Bench) -> None:
        """Taps by code of somebody without a face leave no trace of their ways."""
        bench.store.note([tap("Ben", BELL, Direction.EXIT)])
        bench.activate("Ben")

        assert bench.sources(BELL, NOON + timedelta(minutes=1)) == {}


class TestAll:
    """The store as a whole."""

    def test_the_two_ways_of_asking_agree(self, bench: Bench) -> None:
        """A station's claims and a rider's claims are the same claims."""
        bench.activate("Ana", "Ben")
        bench.store.set_homes(BEN, [BELL], NOON)
        bench.store.give(given("Ana", minutes=600))
        bench.store.note([tap("Ana", NORTH, Direction.ENTRY), tap("Ben", BELL, Direction.EXIT)])
        now = NOON + SOURCING.window(NORTH, BELL).expected

        at_station = sorted(bench.store.claims_at(BELL, now, spare_max=0), key=repr)
        of_riders = bench.store.claims_of([ANA, BEN, rider("Nobody")], [BELL], now)

        assert len(at_station) == 5  # check-in and open trip; home, habit and last exit
        assert at_station == sorted((c for each in of_riders.values() for c in each), key=repr)

    def test_spare_room(self, bench: Bench) -> None:
        """While the city fits everybody is claimed everywhere; one rider more, and nobody is."""
        bench.activate("Ana", "Ben")

        assert bench.sources(BELL, NOON, spare_max=2) == {ANA: {SPARE.name}, BEN: {SPARE.name}}
        assert bench.sources(BELL, NOON, spare_max=1) == {}

    def test_forgets_a_rider_wholly(self, bench: Bench) -> None:
        """Nothing that is kept of a rider stays, and others keep theirs."""
        bench.activate("Ana", "Ben")
        for name in ("Ana", "Ben"):
            bench.store.give(given(name))
            bench.store.set_homes(rider(name), [BELL], NOON)
            bench.store.note([tap(name, BELL, Direction.EXIT)])

        bench.store.forget(ANA)

        assert bench.sources(BELL, NOON) == {BEN: {"check_in", "home", "habit", "last_exit"}}
        assert bench.store.homes(ANA) == ()

    def test_sweeps_what_is_over(self, bench: Bench) -> None:
        """Claims that ended, trips nobody ended and faded habits go; the rest stays."""
        bench.activate("Ana", "Ben")
        bench.store.give(given("Ana"))
        bench.store.give(given("Ben", minutes=60 * 24 * 365))
        bench.store.note([tap("Ana", NORTH, Direction.ENTRY)])

        assert bench.store.sweep(NOON) == 0
        assert bench.store.sweep(NOON + timedelta(hours=5)) == 2  # the check-in and the trip
        assert bench.store.sweep(NOON + timedelta(days=160)) == 1  # the visit
        assert bench.sources(BELL, NOON + timedelta(days=160)) == {BEN: {"check_in"}}


class TestHits:
    """How well each source guessed."""

    @staticmethod
    def passage(claims: Callable[[], list[Claim]], tier: int, day: date) -> tuple[Hit, ...]:
        """Return the hits of one passage at the Bell Tower."""
        return hits_of(tap("Ana", BELL, Direction.EXIT), claims(), tier, day)

    def test_rates(self, bench: Bench) -> None:
        """Each source is measured against all passages, found or not."""
        day = NOON.date()
        both = [given("Ana"), given("Ana", PRESENCE.name)]
        bench.store.count(self.passage(lambda: both, 1, day))
        bench.store.count(self.passage(lambda: both[:1], 2, day))
        bench.store.count(self.passage(lambda: both[:1], 0, day))
        bench.store.count(self.passage(list, 0, day))

        rates = {rate.source: rate for rate in bench.store.rates(day)}

        assert (rates[ALL].passages, rates[ALL].first, rates[ALL].second) == (4, 1, 1)
        assert (rates["check_in"].share, rates["check_in"].found) == (0.75, 0.5)
        assert (rates["presence"].share, rates["presence"].first) == (0.25, 1)
        assert {rate.direction for rate in rates.values()} == {Direction.EXIT}

    def test_from_a_day_on(self, bench: Bench) -> None:
        """Passages of earlier days do not count."""
        bench.store.count(self.passage(list, 1, NOON.date() - timedelta(days=1)))

        assert bench.store.rates(NOON.date()) == ()
