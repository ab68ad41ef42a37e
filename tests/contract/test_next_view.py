"""What a station's second view promises while the model is changed, asked of all adapters."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.erasures import MemoryErasureLedger
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.erasure import Erasure, ErasureLedger
from cloud_sync.gallery import (
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
)
from cloud_sync.stream.view import EdgeNode, Head, HistoryGone, SpaceRefused, ViewLog
from cloud_sync.view_id import next_view
from tests.fleet import NOON
from tests.keys import SAFE
from tests.templates import SPACE, deny, put, rider, setting

BELL, DRUM = "bell-tower", "drum-tower"
COMING = next_view(BELL)
NEW = replace(SPACE, model_id="model-b")
ROBIN = Erasure(rider("Robin"), NOON, "withdraw", is_final=True)
DAY = timedelta(days=1)
KEY = PutKey(IssuerKey(513, bytes(range(32))))


class Town:
    """A station with two nodes, another one with one, and a ledger."""

    def __init__(self, views: ViewLog, ledger: ErasureLedger) -> None:
        self.views, self.ledger = views, ledger
        for edge, station in (("edge-1", BELL), ("edge-2", BELL), ("edge-3", DRUM)):
            views.admit(EdgeNode(edge, station, bytes(32)), NOON)
            views.follow(edge, SPACE.model_id)
            views.offer_lease(edge, NOON + DAY)

    def head(self, view_id: str = BELL) -> Head:
        """Return where a view stands."""
        head = self.views.head(view_id)
        assert head is not None
        return head

    def acks(self, edge: str, view_id: str, *, after_s: float, rev: int | None = None) -> None:
        """Let a node acknowledge a view's head, or an older revision."""
        head = self.head(view_id)
        at = NOON + timedelta(seconds=after_s)
        self.views.acknowledge(edge, head.epoch, head.head_rev if rev is None else rev, at)

    def leaves(self) -> None:
        """Let Robin leave, as a withdrawal does."""
        self.views.publish([BELL], [DropTemplate(ROBIN.rider_ref)])
        assert self.ledger.erase(ROBIN)

    def gone(self) -> dict[tuple[str, str], float | None]:
        """Return when each node was rid of Robin by its own word, seconds after noon."""
        (proof,) = self.ledger.proofs(ROBIN.rider_ref)
        return {
            (node.edge_id, node.station_id): None
            if node.acked_at is None
            else (node.acked_at - NOON).total_seconds()
            for node in proof.nodes
        }


@pytest.fixture(params=["memory", "postgres"])
def town(request: pytest.FixtureRequest) -> Town:
    """Give views of each kind; the bell tower has Robin, Ana, a key, a denial and a mode."""
    views: ViewLog
    ledger: ErasureLedger
    if request.param == "memory":
        numbers = itertools.count(1)
        views = memory = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
        ledger = MemoryErasureLedger(memory, copy=lambda _: None)
    else:
        engine: sa.Engine = request.getfixturevalue("cloud")
        views = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        ledger = PostgresErasureLedger(engine, copy=lambda _: None)
    made = Town(views, ledger)
    views.publish([BELL], [put("Robin"), put("Ana"), KEY, deny("Ben"), setting()])
    return made


def held(town: Town, view_id: str) -> dict[UUID, str]:
    """Return the templates of a view: whose, and of which model."""
    changes = town.views.whole(view_id).changes
    templates = [each.template for each in changes if isinstance(each, PutTemplate)]
    return {each.rider_ref: each.model_id for each in templates}


class TestTwoViews:
    """While both are there."""

    def test_begins_with_everything_but_templates(self, town: Town) -> None:
        """Keys, denials and orders hold whatever the model; a template would be of another space.

        It can be read from its beginning, and opened once only.
        """
        opened = [town.views.open_next(BELL, NEW.model_id, NEW.transform_id) for _ in range(2)]

        changes = town.views.whole(COMING).changes
        head = town.head(COMING)
        assert opened == [True, False]
        assert {type(each) for each in changes} == {PutKey, PutDenial, PutSetting}
        assert (head.model_id, head.head_rev, head.compacted_rev) == (NEW.model_id, 3, 0)
        assert head.epoch != town.head().epoch
        assert len(town.views.read(COMING, head.epoch, 0, 9).changes) == 3

    def test_each_template_goes_to_the_view_of_its_model(self, town: Town) -> None:
        """Nobody is compared with another model's template; what has no model reaches both.

        A template of neither model is refused; the control: a station with one view refuses both.
        """
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW), deny("Cleo")])

        assert held(town, BELL) == dict.fromkeys([rider("Robin"), rider("Ana")], SPACE.model_id)
        assert held(town, COMING) == {rider("Robin"): NEW.model_id}
        for view in (BELL, COMING):
            denied = [each for each in town.views.whole(view).changes if each == deny("Cleo")]
            assert len(denied) == 1
        with pytest.raises(SpaceRefused):
            town.views.publish([BELL], [put("Ana", space=replace(SPACE, model_id="model-c"))])
        town.views.publish([DRUM], [put("Ana")])
        with pytest.raises(SpaceRefused):
            town.views.publish([DRUM], [put("Ana", space=NEW)])

    def test_a_node_follows_the_view_of_its_model(self, town: Town) -> None:
        """A node that was restarted with the new model is served the second view, and back."""
        before = town.views.follow("edge-1", NEW.model_id)
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)

        first = town.views.follow("edge-1", NEW.model_id)
        lease = town.views.offer_lease("edge-1", NOON)

        assert (before, first, lease.station_id) == (BELL, COMING, COMING)
        assert [each.edge_id for each in town.views.edges(BELL)] == ["edge-2"]
        assert [each.edge_id for each in town.views.edges(COMING)] == ["edge-1"]
        assert town.views.follow("edge-1", SPACE.model_id) == BELL
        assert town.views.follow("edge-1", "model-c") == BELL  # where it is refused
        assert town.views.follow("mallory", NEW.model_id) is None

    def test_a_withdrawal_reaches_both(self, town: Town) -> None:
        """One tombstone goes into each view, and the proof counts the nodes of either."""
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.views.follow("edge-1", NEW.model_id)
        town.acks("edge-1", COMING, after_s=-9)
        town.acks("edge-2", BELL, after_s=-9)

        town.leaves()
        before = town.gone()
        town.acks("edge-1", COMING, after_s=1)
        town.acks("edge-2", BELL, after_s=2)

        assert before == {("edge-1", BELL): None, ("edge-2", BELL): None}
        assert town.gone() == {("edge-1", BELL): 1.0, ("edge-2", BELL): 2.0}
        assert rider("Robin") not in {*held(town, BELL), *held(town, COMING)}

    def test_a_node_that_changes_over_has_the_other_view_to_acknowledge(self, town: Town) -> None:
        """What it holds is replaced as a whole, so its word on the new view is its proof.

        It counts once, also when it still holds the old view's history; an acknowledgement of a
        revision before the drop proves nothing.
        """
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.acks("edge-1", BELL, after_s=-9)
        town.views.follow("edge-1", NEW.model_id)

        town.leaves()  # in the middle of edge-1's change
        town.views.follow("edge-2", NEW.model_id)  # after it
        town.acks("edge-1", COMING, after_s=1, rev=4)
        early = town.gone()
        town.acks("edge-1", COMING, after_s=2)
        town.acks("edge-2", COMING, after_s=3)

        assert early == {("edge-1", BELL): None, ("edge-2", BELL): None}
        assert town.gone() == {("edge-1", BELL): 2.0, ("edge-2", BELL): 3.0}

    def test_a_new_history_of_either_view_goes_on(self, town: Town) -> None:
        """What waits for an acknowledgement waits for one of the view that the node follows."""
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.views.follow("edge-1", NEW.model_id)
        town.leaves()
        town.views.renew_epoch(COMING, UUID(int=77))
        town.acks("edge-1", COMING, after_s=1)
        town.acks("edge-2", BELL, after_s=2)

        assert town.gone() == {("edge-1", BELL): 1.0, ("edge-2", BELL): 2.0}

    def test_compaction_waits_for_the_view_s_own_nodes(self, town: Town) -> None:
        """A node that is far behind in one view keeps no line of the other."""
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.follow("edge-1", NEW.model_id)
        town.acks("edge-2", BELL, after_s=0)

        compacted = [town.views.compact(view, NOON, keep=0) for view in (BELL, COMING)]

        assert compacted == [5, 0]


class TestEnd:
    """When one of the two goes."""

    def test_the_second_view_becomes_the_only_one(self, town: Town) -> None:
        """Its nodes go on where they are; the old templates are gone; once more changes nothing."""
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.views.follow("edge-1", NEW.model_id)
        town.acks("edge-1", COMING, after_s=0)
        coming = town.head(COMING)

        done = [town.views.adopt_next(BELL) for _ in range(2)]

        head = town.head()
        assert done == [True, False]
        assert (head.station_id, head.epoch, head.model_id) == (BELL, coming.epoch, NEW.model_id)
        assert held(town, BELL) == {rider("Robin"): NEW.model_id}
        assert town.views.head(COMING) is None
        later = town.views.read(BELL, coming.epoch, coming.head_rev, 9).changes
        assert [each for each in later if not isinstance(each, DropTemplate)] == []
        assert town.views.offer_lease("edge-1", NOON).station_id == BELL
        with pytest.raises(HistoryGone):
            town.views.hashes(COMING)

    def test_a_rollback_is_not_noticed_by_the_first_view(self, town: Town) -> None:
        """The first view keeps its epoch and templates; its nodes can read on."""
        town.acks("edge-2", BELL, after_s=0)
        before = town.head()
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.views.follow("edge-1", NEW.model_id)

        done = [town.views.close_next(BELL) for _ in range(2)]

        assert done == [True, False]
        assert town.head() == before
        assert set(held(town, BELL)) == {rider("Robin"), rider("Ana")}
        assert town.views.follow("edge-1", NEW.model_id) == BELL
        assert town.views.head(COMING) is None

    @pytest.mark.parametrize("is_adopted", [True, False])
    def test_the_proof_asks_whoever_held_the_view_that_went(
        self, town: Town, *, is_adopted: bool
    ) -> None:
        """A node that never came back may hold a face that only the past view had.

        When that rider leaves later, the node is in the proof, until its lease ends or it
        acknowledges what its station has now.
        """
        town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
        past, stays = (BELL, COMING) if is_adopted else (COMING, BELL)
        town.views.follow("edge-1", SPACE.model_id if is_adopted else NEW.model_id)
        if not is_adopted:
            town.views.publish([BELL], [DropTemplate(ROBIN.rider_ref)])
            town.acks("edge-2", BELL, after_s=-9)
            town.views.publish([BELL], [put("Robin", version=2, space=NEW)])
        town.acks("edge-1", past, after_s=-9)
        assert rider("Robin") in held(town, past)
        assert rider("Robin") not in held(town, stays)

        _ = (town.views.adopt_next if is_adopted else town.views.close_next)(BELL)
        assert town.ledger.erase(ROBIN)

        assert town.gone()["edge-1", BELL] is None
        town.acks("edge-1", BELL, after_s=4)
        assert town.gone()["edge-1", BELL] == 4.0


def test_an_operator_s_order_and_a_move_know_stations_alone(town: Town, noon: datetime) -> None:
    """A node that moves to another station follows that one's own view, whatever it followed."""
    town.views.open_next(BELL, NEW.model_id, NEW.transform_id)
    town.views.follow("edge-1", NEW.model_id)

    town.views.admit(EdgeNode("edge-1", BELL, bytes(32)), noon)  # admitted again: nothing changes
    assert town.views.offer_lease("edge-1", NOON).station_id == COMING
    town.views.admit(EdgeNode("edge-1", DRUM, bytes(32)), noon)

    assert town.views.offer_lease("edge-1", NOON).station_id == DRUM
