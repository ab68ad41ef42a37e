"""What every tap log promises, asked of all of them."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.outbox import GENESIS, SealedTap
from cloud_sync.taps.signing import NodeKey, seal
from cloud_sync.taps.tap_log import Batch, Blemish, EdgeUnknown, Receipt, TapLog
from tests.keys import SAFE
from tests.taps import tap

KEY = NodeKey(bytes(range(32)))
OTHER_KEY = NodeKey(bytes(range(1, 33)))
OUTBOX = UUID(int=0xB0)
NODE = EdgeNode("edge-1", "bell-tower", KEY.public_key)
RIVAL = EdgeNode("edge-2", "bell-tower", OTHER_KEY.public_key)


@pytest.fixture(params=["memory", "postgres"])
def log(request: pytest.FixtureRequest, noon: datetime) -> TapLog:
    """Give an empty tap log of each kind that admits two edges."""
    if request.param == "memory":
        return MemoryTapLog({node.edge_id: node for node in (NODE, RIVAL)})
    engine = request.getfixturevalue("engine")
    views = PostgresViewLog(engine, SAFE)
    for node in (NODE, RIVAL):
        views.admit(node, noon)
    return PostgresTapLog(engine)


def chain(
    count: int, *, start: int = 0, outbox_id: UUID = OUTBOX, key: NodeKey = KEY
) -> list[SealedTap]:
    """Return a whole outbox of taps; `start` chooses which ones."""
    made: list[SealedTap] = []
    head = GENESIS
    for seq in range(1, count + 1):
        made.append(seal(key, outbox_id, seq, head, tap(start + seq)))
        head = made[-1].digest()
    return made


def batch(taps: Sequence[SealedTap], *, edge_id: str = "edge-1") -> Batch:
    """Return a batch of one outbox."""
    return Batch(edge_id, taps[0].outbox_id if taps else OUTBOX, tuple(taps))


class TestTapLog:
    """The port's promises."""

    def test_holds_what_it_was_sent(self, log: TapLog, noon: datetime) -> None:
        """Taps come back field for field, and the receipt covers all of them."""
        taps = chain(5)

        receipt = log.ingest(batch(taps), noon)

        assert receipt == Receipt(5)
        assert list(log.stored(OUTBOX)) == taps

    def test_an_empty_batch_asks_where_things_stand(self, log: TapLog, noon: datetime) -> None:
        """A batch without taps changes nothing and is answered."""
        log.ingest(batch(chain(3)), noon)

        assert log.ingest(batch([]), noon) == Receipt(3)

    def test_a_batch_sent_twice_is_stored_once(self, log: TapLog, noon: datetime) -> None:
        """A lost acknowledgement costs nothing but the repetition."""
        taps = chain(5)
        first = log.ingest(batch(taps), noon)

        again = log.ingest(batch(taps), noon)

        assert again == first
        assert list(log.stored(OUTBOX)) == taps
        assert log.quarantined(OUTBOX) == ()

    def test_a_gap_shows(self, log: TapLog, noon: datetime) -> None:
        """Taps beyond a gap are stored, not acknowledged, and what is missing is asked for."""
        taps = chain(6)
        log.ingest(batch(taps[:2]), noon)

        receipt = log.ingest(batch(taps[4:]), noon)

        assert receipt == Receipt(2, resend_from_seq=3)
        assert [sealed.seq for sealed in log.stored(OUTBOX)] == [1, 2, 5, 6]

    def test_a_gap_closes(self, log: TapLog, noon: datetime) -> None:
        """When what was missing comes, everything after it counts too."""
        taps = chain(6)
        log.ingest(batch(taps[4:]), noon)

        receipt = log.ingest(batch(taps[:4]), noon)

        assert receipt == Receipt(6)
        assert log.quarantined(OUTBOX) == ()

    def test_a_bad_signature_is_kept_aside_and_asked_for_once_more(
        self, log: TapLog, noon: datetime
    ) -> None:
        """The transport may have bent it: a good copy that comes later heals the log."""
        taps = chain(3)
        bent = replace(taps[1], signature=bytes(64))

        first = log.ingest(batch([taps[0], bent, taps[2]]), noon)
        healed = log.ingest(batch(taps), noon)

        assert first == Receipt(1, resend_from_seq=2)
        assert healed == Receipt(3)
        assert list(log.stored(OUTBOX)) == taps
        assert [item.blemish for item in log.quarantined(OUTBOX)] == [Blemish.BAD_SIGNATURE]

    def test_a_bad_signature_sent_twice_blocks_nothing(self, log: TapLog, noon: datetime) -> None:
        """What is sent again the same was made so: it stays in quarantine, the rest goes on."""
        taps = chain(3)
        bent = [taps[0], replace(taps[1], signature=bytes(64)), taps[2]]
        log.ingest(batch(bent), noon)

        receipt = log.ingest(batch(bent), noon)

        assert receipt == Receipt(3)
        assert [sealed.seq for sealed in log.stored(OUTBOX)] == [1, 3]
        assert [item.sealed for item in log.quarantined(OUTBOX)] == [bent[1]]

    def test_another_nodes_signature_is_a_bad_one(self, log: TapLog, noon: datetime) -> None:
        """Only the key that was admitted for the edge may sign its taps."""
        log.ingest(batch(chain(1, key=OTHER_KEY)), noon)

        assert log.stored(OUTBOX) == ()
        assert [item.blemish for item in log.quarantined(OUTBOX)] == [Blemish.BAD_SIGNATURE]

    def test_taps_of_a_revoked_edge_wait_for_a_person(self, log: TapLog, noon: datetime) -> None:
        """They are all kept and count as delivered, none is in the log, and the chain goes on."""
        taps = chain(5)
        log.ingest(batch(taps[:2]), noon)
        bent = replace(taps[3], signature=bytes(64))

        suspect = replace(batch([*taps[:3], bent]), is_suspect=True)
        receipt = log.ingest(suspect, noon)
        settled = log.ingest(suspect, noon)
        again = log.ingest(batch(taps[4:]), noon)  # let in again, with a new token

        assert (receipt, settled, again) == (Receipt(3, 4), Receipt(4), Receipt(5))
        assert [sealed.seq for sealed in log.stored(OUTBOX)] == [1, 2, 5]
        blemishes = {item.sealed.seq: item.blemish for item in log.quarantined(OUTBOX)}
        assert blemishes == {3: Blemish.REVOKED, 4: Blemish.BAD_SIGNATURE}

    def test_other_content_in_a_taken_place_is_a_conflict(
        self, log: TapLog, noon: datetime
    ) -> None:
        """The first content stays, the second is kept aside, and the edge learns of the fork."""
        first, second = chain(3), chain(3, start=50)
        log.ingest(batch(first), noon)

        receipt = log.ingest(batch(second), noon)

        assert receipt.is_forked
        assert list(log.stored(OUTBOX)) == first
        assert {item.sealed.seq for item in log.quarantined(OUTBOX)} == {1, 2, 3}
        assert {item.blemish for item in log.quarantined(OUTBOX)} == {Blemish.CONFLICT}

    @pytest.mark.parametrize("late", [0, 1])
    def test_a_tap_that_does_not_continue_is_a_fork(
        self, log: TapLog, noon: datetime, late: int
    ) -> None:
        """A signed tap that fits neither neighbour is kept aside, whichever side came first."""
        mine, theirs = chain(2), chain(2, start=50)
        order = ([mine[0]], [theirs[1]]) if late else ([theirs[1]], [mine[0]])
        log.ingest(batch(order[0]), noon)

        receipt = log.ingest(batch(order[1]), noon)

        assert receipt.is_forked
        assert [item.blemish for item in log.quarantined(OUTBOX)] == [Blemish.FORK]
        assert len(log.stored(OUTBOX)) == 1

    def test_a_first_tap_must_begin_the_chain(self, log: TapLog, noon: datetime) -> None:
        """Sequence 1 with a predecessor is a fork: something before it was cut off."""
        headless = seal(KEY, OUTBOX, 1, bytes([1] * 32), tap(1))

        log.ingest(batch([headless]), noon)

        assert [item.blemish for item in log.quarantined(OUTBOX)] == [Blemish.FORK]

    def test_a_tap_of_another_station_is_kept_aside(self, log: TapLog, noon: datetime) -> None:
        """An edge speaks for its own station; what else it says is for a person to judge."""
        foreign = seal(KEY, OUTBOX, 1, GENESIS, tap(1, station_id="drum-tower"))
        mine = seal(KEY, OUTBOX, 2, foreign.digest(), tap(2))

        receipt = log.ingest(batch([foreign, mine]), noon)

        assert receipt == Receipt(2)
        assert list(log.stored(OUTBOX)) == [mine]
        assert [item.blemish for item in log.quarantined(OUTBOX)] == [Blemish.WRONG_STATION]

    def test_an_edge_that_was_not_admitted_is_refused(self, log: TapLog, noon: datetime) -> None:
        """Taps of a stranger are not stored; they stay in its outbox."""
        with pytest.raises(EdgeUnknown):
            log.ingest(batch(chain(1), edge_id="mallory"), noon)

        assert log.stored(OUTBOX) == ()

    def test_an_outbox_has_one_edge(self, log: TapLog, noon: datetime) -> None:
        """Another edge can neither write into an outbox nor learn how far it is."""
        log.ingest(batch(chain(2)), noon)

        with pytest.raises(EdgeUnknown):
            log.ingest(batch(chain(3, key=OTHER_KEY), edge_id="edge-2"), noon)

        assert log.quarantined(OUTBOX) == ()

    def test_outboxes_do_not_mix(self, log: TapLog, noon: datetime) -> None:
        """Two outboxes of one edge each have their own sequence."""
        renewed = UUID(int=0xB1)
        log.ingest(batch(chain(2)), noon)

        receipt = log.ingest(batch(chain(1, outbox_id=renewed)), noon)

        assert receipt == Receipt(1)
        assert len(log.stored(OUTBOX)) == 2
        assert len(log.stored(renewed)) == 1


class TestAnyDelivery:
    """Order and repetition do not matter."""

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_ends_the_same(self, data: st.DataObject) -> None:
        """However batches are cut, shuffled and repeated, all taps are stored once."""
        taps = chain(8)
        runs = data.draw(
            st.lists(st.lists(st.sampled_from(taps), min_size=1, max_size=5), max_size=8)
        )
        log = MemoryTapLog({NODE.edge_id: NODE})
        when = taps[0].tap.tap_time
        for run in runs:
            receipt = log.ingest(batch(run), when)
            held = {sealed.seq for sealed in log.stored(OUTBOX)}
            assert held >= set(range(1, receipt.durable_seq + 1))

        assert log.ingest(batch(taps), when) == Receipt(8)
        assert list(log.stored(OUTBOX)) == taps
        assert log.quarantined(OUTBOX) == ()

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(order=st.permutations(range(12)))
    def test_positions_are_dense(self, engine: sa.Engine, order: list[int]) -> None:
        """Whatever the order of arrival, positions in the database are 1, 2, 3 without a gap."""
        when = tap(0).tap_time
        PostgresViewLog(engine, SAFE).admit(NODE, when)
        log = PostgresTapLog(engine)
        outbox_id = UUID(int=0xB000 + next(_OUTBOXES))
        taps = chain(12, outbox_id=outbox_id)
        for place in order:
            log.ingest(batch([taps[place], taps[order[0]]]), when)

        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT position FROM cloud_sync.tap ORDER BY 1"))
            positions = list(found.scalars())
        assert positions == list(range(1, len(positions) + 1))
        assert list(log.stored(outbox_id)) == taps


_OUTBOXES = itertools.count()
