"""Taps teach once, in any order, and tell how well each source guessed."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims
from cloud_sync.adapters.postgres.prefilter.tap_tail import TapTail
from cloud_sync.adapters.postgres.tables import TAP, TAP_HEAD
from cloud_sync.master.gallery import Withdraw
from cloud_sync.prefilter.budget import FIRST, SECOND
from cloud_sync.prefilter.store import ALL, HitRate
from fare.adapters.rows import tap_row
from fare.tap import Direction, Tap
from tests.cloud_city import BELL, NOON, NORTH, ROOMY, SOURCING, City, tiers
from tests.contract.test_claim_store import tap
from tests.templates import rider

RIDE = SOURCING.window(NORTH, BELL).expected
ENTRY, EXIT = Direction.ENTRY, Direction.EXIT


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city whose views are small."""
    return City(cloud)


def arrive(city: City, *taps: Tap) -> None:
    """Store taps as the log does, at their positions."""
    with city.engine.begin() as connection:
        for each in taps:
            head = sa.update(TAP_HEAD).values(position=TAP_HEAD.c.position + 1)
            position = connection.execute(head.returning(TAP_HEAD.c.position)).scalar_one()
            sealed = {
                "position": position,
                "edge_id": "edge-1",
                "outbox_id": UUID(int=1),
                "seq": position,
                "prev_hash": b"",
                "hash": b"",
                "signature": b"",
                "received_at": NOON,
            }
            connection.execute(sa.insert(TAP).values(tap_row(each) | sealed))


def step(city: City, now: datetime = NOON) -> int:
    """Learn from what has arrived."""
    return TapTail(city.engine, city.membership).step(now)


def rates(city: City) -> dict[tuple[str, Direction], HitRate]:
    """Return hit rates by source and direction."""
    with city.engine.begin() as connection:
        found = claims.rates(connection, NOON.date() - timedelta(days=1))
    return {(rate.source, rate.direction): rate for rate in found}


def home(city: City, name: str, *stations: str) -> None:
    """Choose home stations."""
    with city.engine.begin() as connection:
        claims.set_homes(connection, rider(name), stations, NOON)


class TestLearning:
    """What taps teach, and how often."""

    def test_a_tap_teaches_once(self, city: City) -> None:
        """A second step finds nothing new, and one rider's entry is one open trip."""
        city.enroll("Ana")
        arrive(city, tap("Ana", NORTH, ENTRY))

        assert (step(city), step(city)) == (1, 0)

        with city.engine.begin() as connection:
            found = claims.claims_of(connection, SOURCING, [rider("Ana")], [BELL], NOON + RIDE)[
                BELL, rider("Ana")
            ]
        assert [claim.source for claim in found] == ["open_trip"]

    def test_only_one_process_at_a_time(self, city: City) -> None:
        """While somebody holds the cursor another process goes away with nothing."""
        city.enroll("Ana")
        arrive(city, tap("Ana", NORTH, ENTRY))

        with city.engine.begin() as connection:
            connection.execute(sa.text("SELECT * FROM cloud_sync.claim_cursor FOR UPDATE"))
            assert step(city) == 0

        assert step(city) == 1

    @pytest.mark.parametrize(
        "years",
        [
            7000,  # a clock that jumped: its rider would be there for ever
            -40,  # a gate that woke up in 1970 and something
        ],
    )
    def test_a_wrong_clock_teaches_nothing(self, years: int, city: City) -> None:
        """A tap of another century leaves no last tap and no habit."""
        city.enroll("Ana")
        wrong = replace(tap("Ana", NORTH, EXIT), tap_time=NOON.replace(year=NOON.year + years))
        arrive(city, wrong)

        assert step(city) == 1

        with city.engine.begin() as connection:
            for table in ("last_tap", "habit", "source_hit"):
                count = connection.execute(sa.text(f"SELECT count(*) FROM cloud_sync.{table}"))
                assert (table, count.scalar_one()) == (table, 0)

    def test_who_withdrew_is_not_followed(self, city: City) -> None:
        """A tap that arrives after the withdrawal is not kept for the prefilter."""
        city.enroll("Ana")
        arrive(city, tap("Ana", NORTH, EXIT))
        city.settle(Withdraw(rider("Ana"), NOON))

        step(city)

        with city.engine.begin() as connection:
            assert connection.execute(sa.text("SELECT * FROM cloud_sync.last_tap")).all() == []


class TestUrgent:
    """Who may arrive before the next look."""

    def test_a_tap_that_comes_late(self, city: City) -> None:
        """An entry told when the train is due puts the rider into the home's view at once."""
        city.enroll("Ana")
        home(city, "Ana", "beidajie")
        entered = NOON - timedelta(minutes=4, seconds=50)
        arrive(city, tap("Ana", "anyuanmen", ENTRY, entered))

        step(city)

        assert city.view("beidajie") == tiers(Ana=FIRST)

    def test_nobody_before_a_train_can_be_there(self, city: City) -> None:
        """An entry just now puts nobody anywhere; the look before the window opens does."""
        city.enroll("Ana")
        home(city, "Ana", BELL)
        city.settle()
        arrive(city, tap("Ana", NORTH, ENTRY))

        step(city)
        assert city.view(BELL) == {}

        city.look(BELL, NOON + RIDE)
        assert city.view(BELL) == tiers(Ana=FIRST)


class TestHits:
    """Measured, not supposed."""

    def test_before_the_passage(self, city: City) -> None:
        """What claims a rider after the passage is no hit: the first entry is a miss."""
        city.enroll("Ana")
        arrive(city, tap("Ana", NORTH, ENTRY))

        step(city)

        found = rates(city)
        assert set(found) == {(ALL, ENTRY)}
        assert (found[ALL, ENTRY].passages, found[ALL, ENTRY].first) == (1, 0)

    def test_entry_and_exit_in_one_batch(self, city: City) -> None:
        """The exit is judged with what the entry before it taught."""
        city.enroll("Ana")
        home(city, "Ana", NORTH)
        city.look(NORTH)
        entered = NOON - timedelta(minutes=10)
        arrive(
            city,
            tap("Ana", "fengchengshilu", ENTRY, entered),
            tap("Ana", NORTH, EXIT, NOON, number=2),
        )

        step(city)

        found = rates(city)
        assert found["open_trip", EXIT].claimed == 1
        assert found["home", EXIT].first == 1
        assert ("open_trip", ENTRY) not in found

    def test_tier(self, city: City) -> None:
        """A hit in the second tier is told from one in the first."""
        names = ("Ana", "Ben", "Cleo")
        for name in names:
            home(city, name, BELL)
        city.look()
        city.enroll(*names)
        city.look()
        (low,) = [name for name in names if city.view()[rider(name)] == SECOND]
        arrive(city, *(tap(name, BELL, ENTRY, number=n) for n, name in enumerate(names)))

        step(city)

        assert low
        rate = rates(city)["home", ENTRY]
        assert (rate.passages, rate.claimed, rate.first, rate.second) == (3, 3, 2, 1)

    def test_riders_by_code_alone_do_not_count(self, city: City) -> None:
        """Somebody without a face at the gates is no miss of the prefilter."""
        arrive(city, tap("Ben", BELL, ENTRY))

        step(city)

        assert rates(city) == {}

    def test_late_taps_do_not_count(self, city: City) -> None:
        """What a gate tells an hour later says nothing about the view by now, but still teaches."""
        city.enroll("Ana")
        arrive(city, tap("Ana", BELL, EXIT, NOON - timedelta(hours=1)))

        step(city)

        assert rates(city) == {}
        with city.engine.begin() as connection:
            assert connection.execute(sa.text("SELECT * FROM cloud_sync.habit")).all() != []

    def test_spare_room_is_measured_too(self, cloud: sa.Engine) -> None:
        """In a small city the credit goes to the room, not to the sources."""
        city = City(cloud, ROOMY)
        city.enroll("Ana")
        arrive(city, tap("Ana", BELL, ENTRY))

        step(city)

        assert rates(city)["spare", ENTRY].first == 1
