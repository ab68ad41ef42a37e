"""What every erasure ledger promises, asked of all of them."""

import itertools
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.erasures import MemoryErasureLedger
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.content import content_hash
from cloud_sync.fleet.erasure import Erasure, ErasureLedger, LedgerFailed
from cloud_sync.gallery import DropTemplate
from cloud_sync.stream.view import EdgeNode, ViewLog
from tests.fleet import NOON
from tests.keys import SAFE
from tests.templates import SPACE, put, rider

BELL, DRUM = "bell-tower", "drum-tower"
ROBIN = Erasure(rider("Robin"), NOON, "withdraw", is_final=True)
DAY = timedelta(days=1)


class Town:
    """Two stations, three nodes, and a ledger."""

    def __init__(self, views: ViewLog, ledger: ErasureLedger, copied: list[Erasure]) -> None:
        self.views, self.ledger, self.copied = views, ledger, copied
        for name, station in (("edge-1", BELL), ("edge-2", BELL), ("edge-3", DRUM)):
            views.admit(EdgeNode(name, station, bytes(32)), NOON)
            views.offer_lease(name, NOON + DAY)

    def epoch(self, station: str = BELL) -> UUID:
        """Return the epoch of a view."""
        head = self.views.head(station)
        assert head is not None
        return head.epoch

    def acks(self, edge: str, rev: int, *, after_s: float, epoch: UUID | None = None) -> None:
        """Let a node acknowledge, so many seconds after noon."""
        at = NOON + timedelta(seconds=after_s)
        self.views.acknowledge(edge, epoch or self.epoch(), rev, at)

    def gone(self) -> dict[str, float | None]:
        """Return when each node was rid of Robin by its own word, seconds after noon."""
        (proof,) = self.ledger.proofs(ROBIN.rider_ref)
        return {
            node.edge_id: None if node.acked_at is None else (node.acked_at - NOON).total_seconds()
            for node in proof.nodes
        }


@pytest.fixture(params=["memory", "postgres"])
def town(request: pytest.FixtureRequest) -> Town:
    """Give each ledger in turn, over views of its kind; Robin's face is at the bell tower."""
    copied: list[Erasure] = []
    views: ViewLog
    ledger: ErasureLedger
    if request.param == "memory":
        numbers = itertools.count(1)
        views = memory = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
        ledger = MemoryErasureLedger(memory, copy=copied.append)
    else:
        engine = request.getfixturevalue("engine")
        views = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        ledger = PostgresErasureLedger(engine, copy=copied.append)
    town = Town(views, ledger, copied)
    views.publish([BELL], [put("Robin"), put("Ana")])
    return town


def leaves(town: Town, erasure: Erasure = ROBIN, *stations: str) -> None:
    """Drop a rider, as a withdrawal does, and note it."""
    town.views.publish(stations or (BELL,), [DropTemplate(erasure.rider_ref)])
    assert town.ledger.erase(erasure)


class TestErasureLedger:
    """The port's promises."""

    def test_tells_a_node_whom_it_may_still_have(self, town: Town) -> None:
        """Until it has confirmed, a node that takes a snapshot hears of the erasure, log or not.

        Nobody who is in the view is among them, nor whom the log alone knows beside the erasures.
        """
        town.views.publish([BELL], [DropTemplate(rider("Robin")), DropTemplate(rider("Ana"))])
        town.ledger.erase(ROBIN)
        head = town.views.head(BELL)
        assert head is not None
        robin, ana = DropTemplate(rider("Robin")), DropTemplate(rider("Ana"))

        found = town.views.absent("edge-1", BELL, 99)
        assert (found.from_rev, found.to_rev) == (99, 99)
        assert found.changes == (robin, ana)
        assert found.hashes == tuple(map(content_hash, found.changes))
        town.views.publish([BELL], [put("Ana", version=2)])
        assert town.views.absent("edge-1", BELL, 99).changes == (robin,)

        town.views.compact(BELL, NOON + 2 * DAY, keep=0)  # all leases have ended
        assert town.views.absent("edge-1", BELL, 99).changes == (robin,)
        town.acks("edge-1", head.head_rev, after_s=1)
        assert town.views.absent("edge-1", BELL, 99).changes == ()
        assert town.views.absent("edge-2", BELL, 99).changes == (robin,)
        assert town.views.absent("edge-3", DRUM, 99).changes == ()

    def test_waits_for_the_nodes_that_may_hold_the_face(self, town: Town) -> None:
        """Both nodes of the station are in the proof, and nobody at a station without the face."""
        leaves(town)

        assert town.gone() == {"edge-1": None, "edge-2": None}
        assert town.copied == [ROBIN]

    def test_an_acknowledgement_counts_from_its_revision_on(self, town: Town) -> None:
        """A word on what came before the drop proves nothing; the first one after it counts."""
        leaves(town)
        town.acks("edge-1", 2, after_s=1)
        before = town.gone()
        town.acks("edge-1", 3, after_s=3.8)
        town.acks("edge-1", 4, after_s=9)

        assert before["edge-1"] is None
        assert town.gone() == {"edge-1": 3.8, "edge-2": None}

    def test_another_history_proves_nothing(self, town: Town) -> None:
        """The same number of another epoch is other content."""
        leaves(town)
        town.acks("edge-1", 99, after_s=1, epoch=uuid4())

        assert town.gone()["edge-1"] is None

    def test_a_new_history_of_the_view_goes_on(self, town: Town) -> None:
        """After a new epoch the node's word in it counts, and one in the old epoch no longer."""
        leaves(town)
        old = town.epoch()
        town.views.renew_epoch(BELL, uuid4())
        town.acks("edge-1", 3, after_s=1, epoch=old)
        town.acks("edge-2", 3, after_s=2)

        assert town.gone() == {"edge-1": None, "edge-2": 2.0}

    def test_a_drop_from_before_counts_too(self, town: Town) -> None:
        """Whom a view dropped earlier may still be at a node that did not hear of it."""
        town.views.publish([BELL], [DropTemplate(ROBIN.rider_ref)])
        town.acks("edge-1", 3, after_s=-60)

        assert town.ledger.erase(ROBIN)

        assert town.gone() == {"edge-1": 0.0, "edge-2": None}  # one has said so before

    def test_a_node_that_moved_away_still_counts(self, town: Town) -> None:
        """A node that is admitted elsewhere holds the old view until its lease ends."""
        town.acks("edge-2", 2, after_s=-60)
        town.views.admit(EdgeNode("edge-2", DRUM, bytes(32)), NOON)

        leaves(town)

        assert set(town.gone()) == {"edge-1", "edge-2"}

    def test_the_lease_is_the_one_of_that_moment(self, town: Town) -> None:
        """What is offered later is only for a node that has dropped the face."""
        leaves(town)
        town.views.offer_lease("edge-1", NOON + 3 * DAY)

        (proof,) = town.ledger.proofs(ROBIN.rider_ref)

        assert proof.everywhere_at == NOON + DAY
        assert len(proof.missing(NOON)) == 2
        assert proof.is_complete(NOON + DAY)

    def test_the_same_again_changes_nothing(self, town: Town) -> None:
        """A retry finds its erasure there, writes no second copy and keeps what was heard."""
        leaves(town)
        town.acks("edge-1", 3, after_s=1)

        assert not town.ledger.erase(ROBIN)

        assert town.gone()["edge-1"] == 1.0
        assert town.copied == [ROBIN]

    def test_each_erasure_has_its_own_proof(self, town: Town) -> None:
        """Whoever enrolls again and leaves again is proven twice, and the newest is told first."""
        leaves(town, Erasure(ROBIN.rider_ref, NOON - DAY, "consent_store", is_final=False))
        town.acks("edge-1", 3, after_s=-80_000)
        town.views.publish([BELL], [put("Robin", version=2)])
        leaves(town)
        leaves(town, Erasure(rider("Ana"), NOON - DAY, "withdraw", is_final=True))

        first, second = town.ledger.proofs(ROBIN.rider_ref)

        assert [node.acked_at is not None for node in first.nodes] == [True, False]
        assert [node.drop_rev for node in second.nodes] == [5, 5]
        assert [one.erasure for one in town.ledger.recent(1)] == [ROBIN]
        assert town.ledger.proofs(rider("Zoe")) == ()


class TestPostgres:
    """What the database adds."""

    def test_without_its_copy_nothing_is_erased(self, engine: sa.Engine) -> None:
        """An erasure whose copy cannot be written is not noted: a backup could undo it."""

        def full(_: Erasure) -> None:
            raise LedgerFailed("no space left")

        ledger = PostgresErasureLedger(engine, copy=full)
        with pytest.raises(LedgerFailed, match="no space"):
            ledger.erase(ROBIN)

        assert ledger.proofs(ROBIN.rider_ref) == ()

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM cloud_sync.erasure_node",
            "DELETE FROM cloud_sync.erasure_ledger",
            "UPDATE cloud_sync.erasure_ledger SET erased_at = now()",
        ],
    )
    def test_records_are_only_added(self, engine: sa.Engine, statement: str) -> None:
        """The database itself refuses to change or take out what is proven."""
        views = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        town = Town(views, PostgresErasureLedger(engine, copy=lambda _: None), [])
        views.publish([BELL], [put("Robin")])
        leaves(town)

        with pytest.raises(sa.exc.DBAPIError, match="only added"), engine.begin() as connection:
            connection.execute(sa.text(statement))

    def test_a_lease_under_way_is_waited_for(self, engine: sa.Engine) -> None:
        """An offer that reads the view before the drop is in the proof, however late it commits."""
        import threading

        views = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        ledger = PostgresErasureLedger(engine, copy=lambda _: None)
        town = Town(views, ledger, [])
        views.publish([BELL], [put("Robin")])
        views.publish([BELL], [DropTemplate(ROBIN.rider_ref)])
        offered = sa.text(
            "UPDATE cloud_sync.edge_node SET lease_until = :until WHERE edge_id = 'edge-1'"
        )
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(offered, {"until": NOON + 2 * DAY})
            thread = threading.Thread(target=town.ledger.erase, args=(ROBIN,))
            thread.start()
            thread.join(0.3)
            waited = thread.is_alive()
            transaction.commit()
        thread.join(5)

        (proof,) = ledger.proofs(ROBIN.rider_ref)
        assert waited
        assert proof.everywhere_at == NOON + 2 * DAY
