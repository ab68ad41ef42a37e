"""Views are brought in line in small steps, and a withdrawn rider never comes back."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres import claims, master
from cloud_sync.adapters.postgres.prefilter import reconcile
from cloud_sync.adapters.postgres.prefilter.known import find
from cloud_sync.adapters.postgres.prefilter.reconcile import Due, ReconcileConfig, sweep
from cloud_sync.adapters.postgres.tables import MASTER_RIDER, RECONCILE
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.gallery import PutTemplate
from cloud_sync.master.gallery import Activate, Deactivate, PutMaster, Withdraw
from cloud_sync.prefilter.budget import FIRST, SECOND, Budget
from fare.tap import Direction
from tests.cloud_city import BELL, DRUM, NOON, NORTH, ROOMY, SOURCING, City, refs, tiers
from tests.contract.test_claim_store import tap
from tests.keys import SAFE
from tests.templates import SPACE, rider, template

ANA, BEN = rider("Ana"), rider("Ben")
SOON = NOON + timedelta(minutes=5)


@pytest.fixture
def city(cloud: sa.Engine) -> City:
    """Give a city whose views are small."""
    return City(cloud)


def homes(city: City, *names: str, station: str = BELL) -> None:
    """Let people live at a station."""
    with city.engine.begin() as connection:
        for name in names:
            claims.set_homes(connection, rider(name), [station], NOON)


class TestLook:
    """One look at one station."""

    def test_brings_in_and_takes_out(self, city: City) -> None:
        """Whoever a fact claims comes in at the next look, and leaves when it is over."""
        city.enroll("Ana")
        homes(city, "Ana")

        assert (city.look().puts, city.view()) == (1, tiers(Ana=FIRST))
        with city.engine.begin() as connection:
            claims.set_homes(connection, ANA, [DRUM], NOON)

        assert (city.look().drops, city.view()) == (1, {})

    def test_settled_view_is_left_alone(self, city: City) -> None:
        """A second look changes nothing and takes no revision."""
        city.enroll("Ana", "Ben")
        homes(city, "Ana", "Ben")
        city.look()
        log = PostgresViewLog(city.engine, SAFE, dimension=SPACE.dimension)
        before = log.head(BELL)

        again = city.look()

        assert (again.puts, again.drops, log.head(BELL)) == (0, 0, before)

    def test_budget(self, city: City) -> None:
        """Two in the first tier, three in the second, and the sixth stays outside."""
        names = [f"rider {number}" for number in range(6)]
        city.enroll(*names)
        homes(city, *names)

        city.look()

        assert sorted(city.view().values()) == [1, 1, 2, 2, 2]
        with city.engine.begin() as connection:
            row = connection.execute(sa.text("SELECT * FROM cloud_sync.reconcile")).one()
        assert (row.first, row.second, row.outside, row.first_bound) == (2, 3, 1, 2)

    def test_on_the_way(self, city: City) -> None:
        """A commuter who entered elsewhere is in the exit's first tier when the train is due."""
        city.enroll("Ana")
        homes(city, "Ana")
        with city.engine.begin() as connection:
            claims.note(connection, SOURCING, [tap("Ana", NORTH, Direction.ENTRY)])
        due = NOON + SOURCING.window(NORTH, BELL).expected

        with city.engine.begin() as connection:
            ranking = find(connection, city.membership, BELL, due).ranking

        assert [claim.source for claim in ranking.places[0].claims] == ["open_trip", "home"]
        assert ranking.places[0].likely

    def test_stale_template_is_renewed(self, city: City) -> None:
        """A view that missed a template's next version is given it."""
        city.enroll("Ana")
        homes(city, "Ana")
        city.look()
        with city.engine.begin() as connection:  # the view does not follow
            new = PutMaster(template("Ana", version=2))
            master.apply(connection, [new], NOON, safe=SAFE, dimension=SPACE.dimension)

        assert city.look().puts == 1

        assert _versions(city) == {ANA: 2}

    def test_heals_a_view_that_kept_somebody(self, city: City) -> None:
        """A paused rider who is in a view all the same is dropped by the next look."""
        city.enroll("Ana")
        homes(city, "Ana")
        city.look()
        with city.engine.begin() as connection:  # the view does not follow
            master.apply(connection, [Deactivate(ANA)], NOON, safe=SAFE, dimension=SPACE.dimension)

        city.look()

        assert city.view() == {}

    def test_leaves_an_operators_own_templates(self, city: City) -> None:
        """Whom the master gallery does not know was put there by an operator, and stays."""
        log = PostgresViewLog(city.engine, SAFE, dimension=SPACE.dimension)
        log.publish([BELL], [PutTemplate(template("Generated"))])

        city.look()

        assert city.view() == tiers(Generated=FIRST)

    def test_works_in_bounded_steps(self, cloud: sa.Engine) -> None:
        """One look makes so many changes at most, drops first; the next one goes on."""
        city = City(cloud, ROOMY, ReconcileConfig(batch=2, batches_max=2))
        names = [f"rider {number}" for number in range(7)]
        for name in names:
            with cloud.begin() as connection:  # no view follows
                changes = (PutMaster(template(name)), Activate(rider(name)))
                master.apply(connection, changes, NOON, safe=SAFE, dimension=SPACE.dimension)

        looks = [city.look() for _ in range(3)]

        assert [(look.puts, look.left) for look in looks] == [(4, 3), (3, 0), (0, 0)]
        assert set(city.view()) == refs(names)

    def test_no_template_of_the_views_model_takes_no_seat(self, city: City) -> None:
        """A rider whose template is of another model is not put, and keeps nobody out."""
        city.enroll("Ana")
        homes(city, "Ana", "Zoe")
        city.look()
        other = type(SPACE)("model-b", "plain", SPACE.dimension)
        city.settle(PutMaster(template("Zoe", space=other)), Activate(rider("Zoe")))

        city.look()

        assert city.view() == tiers(Ana=FIRST)


class TestDue:
    """Who looks where, when."""

    def test_each_station_in_its_turn(self, city: City) -> None:
        """Every station is looked at once, then glanced at, and then looked at again."""
        reconciler = city.reconciler
        taken = [reconciler.due(NOON) for _ in range(4)]
        where = {due.view_id for due in taken if due is not None}

        assert where == {BELL, DRUM, NORTH}
        assert taken[3] is None
        assert all(due is None or due.since is None for due in taken)

        much_later = NOON + reconciler.config.look_every
        for station in where:
            reconciler.look(station, NOON)
            _look_due(city, station, much_later)
        soon = NOON + reconciler.config.every
        assert [reconciler.due(NOON), reconciler.due(soon)] == [None, Due(DRUM, NOON)]
        assert [reconciler.due(much_later) for _ in range(3)] == [
            Due(station, None) for station in sorted(where)
        ]

    def test_glances_come_before_looks_that_can_wait(self, city: City) -> None:
        """Of a glance and a look that are both due the glance comes first, but not for ever."""
        reconciler = city.reconciler
        for station in (BELL, DRUM, NORTH):
            reconciler.look(station, NOON)
            _look_due(city, station, NOON + reconciler.config.look_every)
        soon = NOON + reconciler.config.every
        _look_due(city, BELL, soon)

        order = [reconciler.due(soon) for _ in range(3)]
        assert order == [Due(DRUM, NOON), Due(NORTH, NOON), Due(BELL, None)]
        _look_due(city, BELL, soon - reconciler.config.look_every)
        later = soon + reconciler.config.taken_for
        assert reconciler.due(later) == Due(BELL, None)

    def test_a_station_whose_process_died_is_taken_again(self, city: City) -> None:
        """A station that was taken and never brought in line is due again after a while."""
        reconciler = city.reconciler
        assert [reconciler.due(NOON) is None for _ in range(4)] == [False, False, False, True]
        assert reconciler.due(NOON + reconciler.config.taken_for) is not None

    def test_two_processes_share(self, city: City) -> None:
        """Two that ask at once never get the same station."""
        got: list[Due | None] = []
        threads = [
            threading.Thread(target=lambda: got.append(city.reconciler.due(NOON))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = [due.view_id for due in got if due is not None]
        assert len(found) == len(set(found)) > 0


def _look_due(city: City, station: str, when: datetime) -> None:
    with city.engine.begin() as connection:
        connection.execute(
            sa.update(RECONCILE).where(RECONCILE.c.station_id == station).values(look_due_at=when)
        )


class TestSweep:
    """What is over is cleared away."""

    def test_denials_that_ended_are_dropped(self, city: City) -> None:
        """When the last ride code has expired the deny list forgets the rider."""
        city.settle(Withdraw(ANA, SOON))

        sweep(city.engine, city.membership, SOON - timedelta(microseconds=1))
        assert city.denied() == {ANA: SOON}
        sweep(city.engine, city.membership, SOON)

        assert city.denied(BELL) == city.denied(DRUM) == {}


def _versions(city: City, station: str = BELL) -> dict[UUID, int]:
    whole = PostgresViewLog(city.engine, SAFE, dimension=SPACE.dimension).whole(station)
    return {
        change.template.rider_ref: change.template.version
        for change in whole.changes
        if isinstance(change, PutTemplate)
    }


def _unlocked(connection: sa.Connection, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
    """Look who is active without sharing the lock: the mutation of `master.shared`."""
    return master.active(connection, rider_refs)


def _unchecked(connection: sa.Connection, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
    """Take everybody for active: the other mutation."""
    query = sa.select(MASTER_RIDER.c.rider_ref).where(
        MASTER_RIDER.c.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid)))
    )
    return frozenset(connection.execute(query).scalars())


Shared = Callable[[sa.Connection, Iterable[UUID]], frozenset[UUID]]


class TestNeverBack:
    """A withdrawn rider never comes back, whatever is under way."""

    @pytest.mark.parametrize(
        ("shared", "back"),
        [
            (master.shared, False),
            (_unlocked, True),  # control: without the lock the withdrawal misses the put
        ],
    )
    def test_put_under_way(
        self, shared: Shared, back: bool, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A withdrawal that comes while a reconcile puts the rider waits, and then drops it."""
        monkeypatch.setattr(master, "shared", shared)
        city.enroll("Ana")
        homes(city, "Ana")
        leave = threading.Thread(target=city.settle, args=(Withdraw(ANA, SOON),))

        with city.engine.begin() as connection:
            reconcile.fill(connection, city.membership, BELL, NOON)
            leave.start()
            leave.join(0.3)
            assert leave.is_alive()
        leave.join()

        assert (ANA in city.view()) is back

    @pytest.mark.parametrize(
        ("shared", "back"),
        [
            (master.shared, False),
            (_unlocked, True),  # control: without the lock the put goes by the state before
        ],
    )
    def test_withdrawal_under_way(
        self, shared: Shared, back: bool, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reconcile that comes while a rider withdraws waits, and then leaves the rider out."""
        monkeypatch.setattr(master, "shared", shared)
        city.enroll("Ana")
        homes(city, "Ana")
        put = threading.Thread(target=city.look)

        with city.engine.begin() as connection:
            city.membership.settle(connection, [Deactivate(ANA)], NOON)
            put.start()
            put.join(0.5)
            if not back:
                assert put.is_alive()
        put.join()

        assert (ANA in city.view()) is back

    @pytest.mark.parametrize("checked", [True, False])
    def test_proposal_from_before(
        self, checked: bool, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A ranking made before the withdrawal puts nobody who is gone by the time of the batch.

        The control takes away both looks at who is active, and the rider is back.
        """
        city.enroll("Ana")
        homes(city, "Ana")
        with city.engine.begin() as connection:
            known = find(connection, city.membership, BELL, NOON)
        held = template("Ana")
        city.settle(Withdraw(ANA, SOON))
        if not checked:
            monkeypatch.setattr(master, "shared", _unchecked)
            monkeypatch.setattr(master, "templates", lambda *_, **__: (held,))

        put = city.reconciler._put(BELL, known.ranking.desired, known, NOON)

        assert (put, ANA in city.view()) == ((0, False) if checked else (1, True))

    def test_late_claims_and_templates(self, city: City) -> None:
        """After a withdrawal neither a claim, a template, a tap nor a look brings anything back."""
        city.enroll("Ana")
        homes(city, "Ana")
        city.look()
        city.settle(Withdraw(ANA, SOON))

        city.claim("Ana", until=SOON)
        city.settle(PutMaster(template("Ana", version=7)), Activate(ANA))
        with city.engine.begin() as connection:
            claims.note(connection, SOURCING, [tap("Ana", BELL, Direction.EXIT)])
            city.membership.settle(connection, [Activate(ANA)], NOON)
        for station in (BELL, DRUM, NORTH):
            city.look(station)
            assert ANA not in city.view(station)


class TestUrgentMeanwhile:
    """What is said while a look is under way is not undone by it."""

    @pytest.mark.parametrize("again", [True, False])
    def test_a_claim_during_a_look(
        self, again: bool, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A rider who checks in after the ranking was made is not dropped by its batches.

        The control does not look again, and the check-in is lost until the next look.
        """
        city.enroll("Ana")
        homes(city, "Ana")
        city.look()
        homes(city, "Ana", station=DRUM)
        with city.engine.begin() as connection:
            known = find(connection, city.membership, BELL, NOON)
        assert known.ranking.desired == {}
        city.claim("Ana", until=SOON)
        if not again:
            monkeypatch.setattr(claims, "claims_of", lambda *_: {})

        dropped = city.reconciler._drop(BELL, [ANA], known, NOON)

        assert (dropped, ANA in city.view()) == ((0, True) if again else (1, False))


class TestManyWriters:
    """Everybody writes at once, and nobody waits in a circle."""

    def test_no_deadlock_and_one_truth(self, cloud: sa.Engine) -> None:
        """Two reconcilers, claims, pauses and withdrawals end with views that hold only the active.

        A deadlock would be an error of the database in one of the threads.
        """
        city = City(cloud, Budget(first=3, first_max=5, second=2, spare_max=0))
        names = [f"rider {number}" for number in range(12)]
        homes(city, *names)
        city.enroll(*names)
        ends = time.monotonic() + 1.0
        failures: list[Exception] = []

        def busy(seed: int, act: Callable[[random.Random], object]) -> None:
            dice = random.Random(seed)
            try:
                while time.monotonic() < ends:
                    act(dice)
            except Exception as problem:  # noqa: BLE001  # whatever it is, the test tells it
                failures.append(problem)

        def move(dice: random.Random) -> None:
            some = dice.sample(names, 3)
            moves = [(Activate, Deactivate)[dice.random() < 0.5](rider(name)) for name in some]
            city.settle(*moves)

        stations = (BELL, DRUM, NORTH)
        acts: list[Callable[[random.Random], object]] = [
            lambda dice: city.look(dice.choice(stations)),
            lambda dice: city.look(dice.choice(stations)),
            lambda dice: city.claim(dice.choice(names), dice.choice(stations), until=SOON),
            move,
            move,
        ]
        threads = [threading.Thread(target=busy, args=each) for each in enumerate(acts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        gone = names[:4]
        city.settle(*(Withdraw(rider(name), SOON) for name in gone))
        for station in stations:
            assert not refs(gone) & set(city.view(station))
            city.look(station)
            with cloud.begin() as connection:
                known = find(connection, city.membership, station, NOON)
                assert master.active(connection, city.view(station)) == set(city.view(station))
            assert dict(known.ranking.desired) == city.view(station)


def test_moves_between_tiers_are_puts(city: City) -> None:
    """Who falls to the second tier is sent with the other tier, not dropped and sent again."""
    city.enroll("Ana", "Ben", "Cleo")
    homes(city, "Ana", "Ben")
    city.look()
    assert set(city.view().values()) == {FIRST}
    for name in ("Cleo",):
        city.claim(name, until=SOON)

    report = city.look()

    assert (report.puts, report.drops) == (1, 0)
    assert sorted(city.view().values()) == [FIRST, FIRST, SECOND]
    later: datetime = NOON + timedelta(hours=1)
    assert city.look(now=later).drops == 1  # the check-in is over
