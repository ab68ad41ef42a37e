"""A glance ranks a part of the riders, and the first tier comes out as if it had ranked all."""

import random
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims, master
from cloud_sync.adapters.postgres.prefilter import candidates
from cloud_sync.adapters.postgres.prefilter.glance import in_first
from cloud_sync.adapters.postgres.prefilter.known import find, versions_of
from cloud_sync.adapters.postgres.tables import VIEW_ITEM
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.gallery import PutTemplate
from cloud_sync.master.gallery import Activate, Deactivate, PutMaster, Withdraw
from cloud_sync.prefilter.budget import FIRST, SECOND, Budget
from cloud_sync.prefilter.habit import Visits, least_for, likelihood
from fare.tap import Direction, Tap
from tests.cloud_city import BELL, DRUM, NOON, NORTH, SOURCING, City, tiers
from tests.contract.test_claim_store import tap
from tests.keys import SAFE
from tests.templates import SPACE, rider, template

LATER = NOON + timedelta(minutes=1)
NAMES = [f"rider {number}" for number in range(24)]
CROWD = Budget(first=6, first_max=20, second=100, spare_max=0)


def learn(city: City, *taps: Tap) -> None:
    """Let the city see taps."""
    with city.engine.begin() as connection:
        claims.note(connection, SOURCING, taps)


def enroll(city: City, *names: str) -> None:
    """Let people enroll all at once."""
    puts = [PutMaster(template(name)) for name in names]
    city.settle(*puts, *(Activate(rider(name)) for name in names))


def live(city: City, *names: str, station: str = BELL, now: datetime = NOON) -> None:
    """Let people choose a home station."""
    with city.engine.begin() as connection:
        for name in names:
            claims.set_homes(connection, rider(name), [station], now)


def glance(city: City, now: datetime = LATER, since: datetime = NOON) -> None:
    """Glance at one view."""
    city.reconciler.glance(BELL, now, since=since)


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city in which not everybody fits."""
    return City(cloud, CROWD)


def lead_lives(city: City, dice: random.Random) -> None:
    """Let people have homes and four weeks of habits, more or less steady."""
    taps: list[Tap] = []
    for name in NAMES:
        if dice.random() < 0.5:
            live(city, name, station=dice.choice((BELL, DRUM)))
        hour = dice.choice((-3, -1, 0, 1, 2))
        for day in range(1, dice.choice((2, 20))):
            at = NOON - timedelta(days=day) + timedelta(hours=hour)
            taps.append(tap(name, dice.choice((BELL, BELL, DRUM)), Direction.EXIT, at))
    learn(city, *taps)


def move_on(city: City, dice: random.Random, now: datetime, until: datetime) -> None:
    """Let people tap and choose stations in a span of time."""
    for name in dice.sample(NAMES, 8):
        at = now + dice.random() * (until - now)
        kind = dice.choice((Direction.ENTRY, Direction.EXIT))
        learn(city, tap(name, dice.choice((BELL, DRUM, NORTH)), kind, at))
    live(city, dice.choice(NAMES), now=until)


class TestAsALook:
    """A glance and a look agree on whoever is likely to come."""

    @pytest.mark.parametrize("seed", range(3))
    def test_likely_riders(self, city: City, seed: int) -> None:
        """After each of many glances the likely riders have the places that a look gives them."""
        dice = random.Random(seed)
        enroll(city, *NAMES)
        lead_lives(city, dice)
        city.look()
        since, seen = NOON, 0
        for step in (1, 2, 20, 10, 35, 3):
            now = since + timedelta(minutes=step)
            move_on(city, dice, since, now)
            glance(city, now, since)
            wanted = _likely(city, now)
            view = city.view()
            assert {ref: view.get(ref) for ref in wanted} == wanted
            firsts = sum(tier == FIRST for tier in view.values())
            assert firsts <= max(CROWD.first, min(len(wanted), CROWD.first_max))
            since, seen = now, seen + len(wanted)
        assert seen > 0

    def test_control_without_habits(self, city: City, monkeypatch: pytest.MonkeyPatch) -> None:
        """Control: where the new hour's habits are not asked for, a commuter is missed."""
        enroll(city, *NAMES)
        for day in range(1, 15):
            at = NOON - timedelta(days=day) + timedelta(hours=3)
            learn(city, tap("rider 7", BELL, Direction.ENTRY, at))
        learn(city, tap("rider 7", DRUM, Direction.EXIT, NOON - timedelta(hours=1)))
        learn(city, *(tap(name, BELL, Direction.EXIT, NOON) for name in NAMES[10:16]))
        city.look()
        assert city.view()[rider("rider 7")] == SECOND
        its_hour = NOON + timedelta(hours=3)
        monkeypatch.setattr(candidates, "_LIKELY_ANEW", candidates._LIKELY)

        glance(city, its_hour)
        assert city.view()[rider("rider 7")] == SECOND
        monkeypatch.undo()
        glance(city, its_hour)
        assert city.view()[rider("rider 7")] == FIRST


class TestChanges:
    """What a glance changes."""

    def test_a_new_home_is_in_the_view(self, city: City) -> None:
        """Whoever chose the station since is put into the view."""
        enroll(city, *NAMES)
        live(city, *NAMES[:10])
        city.look()
        live(city, NAMES[20], now=LATER)

        glance(city)

        assert city.view()[rider(NAMES[20])] == SECOND

    def test_whoever_is_outranked_goes_to_the_second_tier(self, city: City) -> None:
        """A first tier that is full of likely riders sends whoever is not to the second."""
        enroll(city, *NAMES)
        live(city, *NAMES[:6])
        city.look()
        assert city.view() == tiers(**dict.fromkeys(NAMES[:6], FIRST))
        learn(city, *(tap(name, BELL, Direction.EXIT, NOON) for name in NAMES[6:13]))

        glance(city)

        view = city.view()
        assert {view[rider(name)] for name in NAMES[:6]} == {SECOND}
        assert {view[rider(name)] for name in NAMES[6:13]} == {FIRST}

    def test_strangers_whose_window_opened(self, city: City) -> None:
        """A traveller of whom nothing is known is put where the window of arrival has opened."""
        enroll(city, *NAMES)
        city.look()
        learn(city, tap(NAMES[0], NORTH, Direction.ENTRY, NOON))
        opens = NOON + SOURCING.window(NORTH, BELL).opens

        glance(city, opens - timedelta(seconds=1), NOON)
        assert city.view() == {}
        glance(city, opens, opens - timedelta(seconds=1))
        assert set(city.view()) == {rider(NAMES[0])}

    def test_second_tier_has_no_more_room_than_its_budget(self, cloud: sa.Engine) -> None:
        """Whoever falls out of a first tier beside a full second one leaves the view."""
        city = City(cloud, Budget(first=2, first_max=4, second=1, spare_max=0))
        enroll(city, *NAMES[:8])
        live(city, *NAMES[:3])
        city.look()
        assert sorted(city.view().values()) == [FIRST, FIRST, SECOND]
        learn(city, *(tap(name, BELL, Direction.EXIT, NOON) for name in NAMES[3:7]))

        glance(city)

        assert sorted(city.view().values()) == [FIRST] * 4 + [SECOND]

    def test_an_operators_own_templates_stay(self, city: City) -> None:
        """Whom the master gallery does not know was put there by an operator, and stays."""
        enroll(city, *NAMES)
        log = PostgresViewLog(city.engine, SAFE, dimension=SPACE.dimension)
        log.publish([BELL], [PutTemplate(template("Generated"))])

        glance(city)

        assert city.view() == tiers(Generated=FIRST)

    def test_nobody_who_withdrew(self, city: City) -> None:
        """A glance puts nobody whose face is gone, whatever was known of them."""
        enroll(city, *NAMES)
        learn(city, tap(NAMES[0], BELL, Direction.EXIT, NOON))
        city.settle(Withdraw(rider(NAMES[0]), LATER))

        glance(city)

        assert rider(NAMES[0]) not in city.view()

    def test_while_the_city_fits(self, cloud: sa.Engine) -> None:
        """In a small city a glance is a look: everybody has a claim everywhere."""
        city = City(cloud, Budget())
        with cloud.begin() as connection:
            claims.set_homes(connection, rider("Ana"), [BELL], NOON)
        city.enroll("Ana")
        with cloud.begin() as connection:
            connection.execute(sa.text("DELETE FROM cloud_sync.view_item"))

        glance(city)

        assert city.view() == tiers(Ana=FIRST)


class TestPlan:
    """What PostgreSQL reads for a glance."""

    def test_whoever_has_an_active_template_is_active(self, city: City) -> None:
        """Whose template is active is active; control: of those named, two of three are not."""
        enroll(city, "Ana", "Ben", "Cleo")
        city.settle(Deactivate(rider("Ben")), PutMaster(template("Ben", version=2)))
        city.settle(Withdraw(rider("Cleo"), LATER))
        refs = [rider(name) for name in ("Ana", "Ben", "Cleo")]

        with city.engine.begin() as connection:
            versions, named = versions_of(connection, template("Ana").model_id, refs)
            active = master.active(connection, refs)

        assert versions.keys() == active == {rider("Ana")}
        assert named == set(refs)

    def test_first_tiers_have_an_index_of_their_own(self, city: City) -> None:
        """A plan kept for every station reads first tiers alone; control: with a parameter, all."""
        anywhere = sa.select(VIEW_ITEM.c.item_key).where(
            VIEW_ITEM.c.station_id == BELL, VIEW_ITEM.c.tier == FIRST
        )

        assert "view_item_first" in _kept_plan(
            city.engine,
            sa.select(VIEW_ITEM.c.item_key).where(in_first(BELL)),
            f"'{BELL}', 'r', 's'",
        )
        assert "view_item_first" not in _kept_plan(city.engine, anywhere, f"'{BELL}', 1")


def _kept_plan(engine: sa.Engine, query: sa.Select[tuple[bytes]], values: str) -> str:
    """Return the plan that serves any values, as a process has it after some glances."""
    fresh = sa.create_engine(engine.url, poolclass=sa.NullPool)  # and nothing prepared before
    with fresh.connect() as connection:
        for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"):
            connection.execute(sa.text(f"SET LOCAL {setting}"))
        for _ in range(7):  # the driver prepares what it was asked often
            connection.execute(query)
        name = connection.execute(
            sa.text("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%item_key%'")
        ).scalar_one()
        explained = connection.execute(sa.text(f"EXPLAIN EXECUTE {name}({values})")).scalars()
        return "\n".join(explained)


@pytest.mark.parametrize("days", [2, 5])
def test_least_visits(days: int) -> None:
    """Whoever is likely has the least visits of one kind, and who has less of all is not."""
    least = least_for(0.05, days)
    kinds = (
        Visits(least.own, 0, 0, 0),
        Visits(0, least.kin, 0, 0),
        Visits(0, 0, least.near, 0),
    )
    for visits in kinds:
        assert likelihood(visits, days) == pytest.approx(0.05)
        assert likelihood(visits, days) < 0.05 + 1e-12
    less = Visits(least.own * 0.99, least.kin * 0.99, least.near * 0.99, 100)
    assert likelihood(less, days) < 0.05


def _likely(city: City, now: datetime) -> dict[UUID, int]:
    with city.engine.begin() as connection:
        places = find(connection, city.membership, BELL, now).ranking.places
    return {place.rider_ref: place.tier for place in places if place.likely}
