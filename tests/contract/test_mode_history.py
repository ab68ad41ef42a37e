"""What a gate claims to have left out is compared with what was ever ordered, down to the fares."""

import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from cloud_sync import order
from cloud_sync.adapters.postgres.fleet import PostgresFleetLog
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import VERSIONS, PostgresViewLog
from cloud_sync.fleet.findings import Finding, findings
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.outbox import GENESIS
from cloud_sync.taps.signing import NodeKey, seal
from cloud_sync.taps.tap_log import Batch, Receipt
from fare.adapters.feed import PostgresTapFeed
from fare.adapters.postgres import PostgresStore
from fare.adapters.statements import PostgresStatements
from fare.city import shipped
from fare.decision import DOUBTED
from fare.tap import Direction, TapFlag
from fare.work import WorkRules, take_in
from tests.keys import SAFE
from tests.taps import tap

KEY = NodeKey(bytes(range(32)))
HOME, AWAY = "zhonglou", "xianbeizhan"
FREE = frozenset({TapFlag.FARE_EXEMPT})
RIDER = UUID(int=0xADA)


class City:
    """Two stations whose nodes bring taps, and fares on the same database."""

    def __init__(self, engine: sa.Engine) -> None:
        """Admit a node at each station."""
        self.engine = engine
        self.views = PostgresViewLog(engine, SAFE)
        for station in (HOME, AWAY):
            self.views.admit(EdgeNode(f"edge-{station}", station, KEY.public_key), self.now)

    @property
    def now(self) -> datetime:
        """The database's time, by which orders are noted."""
        with self.engine.connect() as connection:
            query = sa.select(sa.func.clock_timestamp())
            found: datetime = connection.execute(query).scalar_one()
            return found.astimezone(UTC)

    def order(self, *modes: str) -> None:
        """Set what the first station leaves out; its node hears of it at once."""
        self.views.publish([HOME], [order.mode(modes)])
        head = self.views.head(HOME)
        assert head is not None
        self.views.acknowledge(f"edge-{HOME}", head.epoch, head.head_rev, self.now)

    def brings(
        self, at: datetime, *, station: str = HOME, entry: bool = False, free: bool = True
    ) -> UUID:
        """Have a node bring a tap; return its id."""
        made = replace(
            tap(0, station_id=station),
            tap_id=uuid4(),
            rider_ref=RIDER,
            direction=Direction.ENTRY if entry else Direction.EXIT,
            tap_time=at,
            flags=FREE if free else frozenset(),
        )
        sealed = seal(KEY, uuid4(), 1, GENESIS, made)
        batch = Batch(f"edge-{station}", sealed.outbox_id, (sealed,))
        assert PostgresTapLog(self.engine).ingest(batch, at) == Receipt(1)
        assert PostgresTapLog(self.engine).stored(sealed.outbox_id) == (sealed,)
        return made.tap_id

    def doubted(self, tap_id: UUID) -> bool:
        """Tell what fares read of a tap."""
        placed = PostgresTapFeed(self.engine).read_after(0, 99)
        [found] = [each.tap for each in placed if each.tap.tap_id == tap_id]
        assert found.doubted in (frozenset(), FREE)
        return bool(found.doubted)


@pytest.fixture
def city(engine: sa.Engine) -> City:
    """Give a city."""
    return City(engine)


class TestClaims:
    """A tap says that no fare was asked for."""

    def test_are_believed_while_ordered(self, city: City) -> None:
        """Neither before the order nor after its end is the claim believed, and only there."""
        before = city.brings(city.now)
        city.order("fare_exempt", "time_exempt")
        began = city.now
        during = city.brings(began)
        elsewhere = city.brings(began, station=AWAY)
        city.order()
        ended = city.now
        hour = timedelta(hours=1)

        assert city.doubted(before)
        assert not city.doubted(during)
        assert city.doubted(elsewhere)
        assert not city.doubted(city.brings(began))  # it comes late
        assert city.doubted(city.brings(ended + hour))
        assert city.doubted(city.brings(began - hour))

    def test_are_believed_of_a_node_that_has_not_heard_of_the_end(self, city: City) -> None:
        """A gate that was offline when the mode ended goes on by it, a lease at most."""
        city.order("fare_exempt")
        city.views.publish([HOME], [order.mode([])])  # nothing acknowledges it

        later = city.now + timedelta(hours=1)
        assert not city.doubted(city.brings(later))
        assert city.doubted(city.brings(later + timedelta(days=2)))

    def test_a_mode_from_before_the_history_explains_its_taps(self, engine: sa.Engine) -> None:
        """The migration begins with the modes in force."""
        city = City(engine)
        city.order("fare_exempt")
        [path] = VERSIONS.glob("*_mode_orders.py")
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM cloud_sync.mode_order"))
            connection.exec_driver_sql(runpy.run_path(str(path))["IN_FORCE"])

        assert not city.doubted(city.brings(city.now - timedelta(days=1)))
        assert city.doubted(city.brings(city.now, station=AWAY))  # control


class TestFleet:
    """What the operator sees of a node whose taps are doubted."""

    def test_counts_the_last_day_of_each_node(self, city: City) -> None:
        """Two doubted taps stand at their node, an old one and a believed one at none."""
        city.brings(city.now - timedelta(days=3))
        city.order("fare_exempt")
        city.brings(city.now)
        for _ in range(2):
            city.brings(city.now, station=AWAY)

        nodes = PostgresFleetLog(city.engine).nodes()

        counted = {node.standing.station_id: node.standing.doubted_taps for node in nodes}
        assert counted == {HOME: 0, AWAY: 2}
        found = {node.standing.station_id: findings(node, city.now) for node in nodes}
        assert Finding.TAPS_DOUBTED in {each.finding for each in found[AWAY]}
        assert Finding.TAPS_DOUBTED not in {each.finding for each in found[HOME]}  # control


class TestFares:
    """What a doubted claim is worth."""

    @pytest.mark.parametrize("is_ordered", [True, False])
    def test_a_ride_is_free_by_order_alone(self, city: City, is_ordered: bool) -> None:
        """With stolen keys a ride costs what it costs and stands before the operator."""
        if is_ordered:
            city.order("fare_exempt")
        now = city.now
        city.brings(now - timedelta(minutes=30), station=AWAY, entry=True, free=False)
        city.brings(now)
        store, feed = PostgresStore(city.engine), PostgresTapFeed(city.engine)

        assert take_in(store, feed, shipped("xian"), now, WorkRules()) == 2

        books = PostgresStatements(city.engine).overview()
        [trip] = [line.decision.verdict for line in books.recent_trips]
        assert (trip.fare.minor_units == 0) == is_ordered
        assert (trip.reason == DOUBTED) == (not is_ordered)
        assert books.doubted == len(books.doubted_trips) == int(not is_ordered)
