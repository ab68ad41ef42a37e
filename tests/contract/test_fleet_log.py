"""What every log of the fleet promises, asked of all of them."""

import itertools
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.fleet import MemoryFleetLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.fleet import PostgresFleetLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.health import HISTORY_STEPS, FleetLog, FleetLogFailed
from cloud_sync.stream.view import EdgeNode, ViewLog
from tests.fleet import NOON, health
from tests.keys import SAFE
from tests.templates import SPACE, put

BELL = EdgeNode("edge-1", "bell-tower", bytes(32))
DRUM = EdgeNode("edge-0", "drum-tower", bytes(32))


@pytest.fixture(params=["memory", "postgres"])
def city(request: pytest.FixtureRequest) -> tuple[ViewLog, FleetLog]:
    """Give two stations of a node each, and where their reports are kept."""
    views: ViewLog
    fleet: FleetLog
    if request.param == "memory":
        numbers = itertools.count(1)
        views = memory = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
        fleet = MemoryFleetLog(memory)
    else:
        engine = request.getfixturevalue("engine")
        views = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        fleet = PostgresFleetLog(engine)
    for node in (BELL, DRUM):
        views.admit(node, NOON)
    return views, fleet


class TestFleetLog:
    """The port's promises."""

    def test_every_admitted_node_is_there(self, city: tuple[ViewLog, FleetLog]) -> None:
        """A node that has never spoken is listed all the same, by station and name."""
        nodes = city[1].nodes()

        assert [node.standing.edge_id for node in nodes] == ["edge-1", "edge-0"]
        assert all(node.report is None for node in nodes)

    def test_the_latest_report_comes_back_whole(self, city: tuple[ViewLog, FleetLog]) -> None:
        """Every field survives, absent ones too, and a newer report takes its place."""
        _, fleet = city
        first, second = health(outbox_age_s=1.25), health(lease_until=None, lanes=())
        fleet.report(BELL, first, NOON)
        after_first = fleet.nodes()[0].report
        fleet.report(BELL, second, NOON + timedelta(seconds=10))
        after_second = fleet.nodes()[0].report

        assert after_first is not None
        assert (after_first.health, after_first.received_at) == (first, NOON)
        assert after_second is not None
        assert after_second.health == second
        assert fleet.nodes()[1].report is None

    def test_the_cloud_knows_where_a_node_stands(self, city: tuple[ViewLog, FleetLog]) -> None:
        """Lag and lease are the cloud's own, whatever the node says."""
        views, fleet = city
        views.publish(["bell-tower"], [put("Ana"), put("Ben"), put("Cleo")])
        head = views.head("bell-tower")
        assert head is not None
        views.acknowledge("edge-1", head.epoch, 1, NOON)
        views.offer_lease("edge-1", NOON + timedelta(hours=1))

        standing = fleet.nodes()[0].standing

        assert standing.lag == 2
        assert standing.lease_until == NOON + timedelta(hours=1)
        assert standing.lease_s == 86_400

    def test_an_acknowledgement_of_another_history_is_none(
        self, city: tuple[ViewLog, FleetLog]
    ) -> None:
        """After a new epoch a node has everything to fetch."""
        views, fleet = city
        views.publish(["bell-tower"], [put("Ana")])
        views.acknowledge("edge-1", UUID(int=77), 1, NOON)

        assert fleet.nodes()[0].standing.lag == 1

    def test_history_has_one_report_a_minute(self, city: tuple[ViewLog, FleetLog]) -> None:
        """Reports come every 10 s; the first of each minute stays."""
        _, fleet = city
        for number in range(13):
            told = health(outbox_depth=number)
            fleet.report(BELL, told, NOON + timedelta(seconds=10 * number))

        kept = fleet.history("edge-1", NOON + timedelta(seconds=120))

        assert [one.health.outbox_depth for one in kept] == [0, 6, 12]
        assert fleet.history("edge-0", NOON) == ()

    def test_history_is_a_ring(self, city: tuple[ViewLog, FleetLog]) -> None:
        """What is older than two hours makes room, and is not shown even while it is there."""
        _, fleet = city
        for minute in (0, 1, HISTORY_STEPS):
            fleet.report(BELL, health(outbox_depth=minute), NOON + timedelta(minutes=minute))

        kept = fleet.history("edge-1", NOON + timedelta(minutes=HISTORY_STEPS))
        later = fleet.history("edge-1", NOON + timedelta(minutes=HISTORY_STEPS + 2))

        assert [one.health.outbox_depth for one in kept] == [1, HISTORY_STEPS]
        assert [one.health.outbox_depth for one in later] == [HISTORY_STEPS]


def test_a_database_that_is_away_is_told(empty: sa.Engine) -> None:
    """Without its tables nothing is kept and nothing is invented."""
    fleet = PostgresFleetLog(empty)

    with pytest.raises(FleetLogFailed):
        fleet.report(BELL, health(), NOON)
    with pytest.raises(FleetLogFailed):
        fleet.nodes()
