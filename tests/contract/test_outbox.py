"""What every outbox promises, asked of all of them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.taps.outbox import GENESIS, Outbox, OutboxForked
from cloud_sync.taps.signing import Intact, NodeKey, verify_chain
from tests.taps import START, tap

KEY = NodeKey(bytes(range(32)))


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    """Give an empty outbox of each kind."""
    if request.param == "memory":
        yield MemoryOutbox(UUID(int=77), KEY)
        return
    with SqliteOutbox(tmp_path / "outbox.db", KEY, new_id=uuid4) as made:
        yield made


def _filled(outbox: Outbox, count: int) -> Outbox:
    for number in range(count):
        outbox.append(tap(number))
    return outbox


class TestOutbox:
    """The port's promises."""

    def test_numbers_taps_densely_from_one(self, outbox: Outbox) -> None:
        """Places are 1, 2, 3, and the outbox's own id stands in each."""
        sealed = [outbox.append(tap(number)) for number in range(3)]

        assert [(outbox.outbox_id, 1), (outbox.outbox_id, 2), (outbox.outbox_id, 3)] == [
            (s.outbox_id, s.seq) for s in sealed
        ]

    def test_gives_back_what_it_took(self, outbox: Outbox) -> None:
        """What is pending is field for field what `append` returned."""
        sealed = [outbox.append(tap(number)) for number in range(5)]

        assert sealed == list(outbox.pending(100))

    def test_chains_and_signs(self, outbox: Outbox) -> None:
        """The whole run is intact under the node's public key, from the genesis on."""
        _filled(outbox, 4)

        verdict = verify_chain(
            outbox.since(0, 100),
            outbox_id=outbox.outbox_id,
            after=Intact(0, GENESIS),
            public_key=KEY.public_key,
        )

        assert isinstance(verdict, Intact)
        assert verdict.seq == 4

    def test_pending_is_oldest_first_and_limited(self, outbox: Outbox) -> None:
        """A batch is the oldest taps, no more than asked for."""
        _filled(outbox, 5)

        assert [s.seq for s in outbox.pending(3)] == [1, 2, 3]

    def test_acknowledged_taps_are_kept_but_not_offered(self, outbox: Outbox) -> None:
        """An acknowledgement takes taps out of the queue, not out of the file."""
        _filled(outbox, 5)

        outbox.acknowledge(outbox.outbox_id, 3)

        assert [s.seq for s in outbox.pending(100)] == [4, 5]
        assert [s.seq for s in outbox.since(0, 100)] == [1, 2, 3, 4, 5]
        assert outbox.depth() == 2

    def test_an_old_acknowledgement_changes_nothing(self, outbox: Outbox) -> None:
        """Acknowledgements that arrive late or twice do not bring taps back."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 4)

        outbox.acknowledge(outbox.outbox_id, 2)

        assert [s.seq for s in outbox.pending(100)] == [5]

    def test_acknowledgement_of_another_history_is_not_noted(self, outbox: Outbox) -> None:
        """The same place in another outbox is another tap, so nothing is taken out of the queue."""
        _filled(outbox, 3)

        outbox.acknowledge(UUID(int=1), 3)

        assert outbox.depth() == 3

    def test_acknowledgement_beyond_the_end_is_a_fork(self, outbox: Outbox) -> None:
        """A cloud that holds more than the outbox proves that the outbox lost its end."""
        _filled(outbox, 2)

        with pytest.raises(OutboxForked):
            outbox.acknowledge(outbox.outbox_id, 3)

        assert outbox.depth() == 2

    def test_rewind_offers_again(self, outbox: Outbox) -> None:
        """A cloud that lost a suffix gets it a second time, unchanged."""
        _filled(outbox, 5)
        sent = outbox.pending(100)
        outbox.acknowledge(outbox.outbox_id, 5)

        outbox.rewind(outbox.outbox_id, 2)

        assert sent[1:] == outbox.pending(100)

    @pytest.mark.parametrize("from_seq", [9, 4])  # beyond the end; where it is anyway
    def test_rewind_never_skips(self, outbox: Outbox, from_seq: int) -> None:
        """A rewind forward does not take taps out of the queue."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 3)

        outbox.rewind(outbox.outbox_id, from_seq)

        assert [s.seq for s in outbox.pending(100)] == [4, 5]

    def test_recent_starts_at_the_moment(self, outbox: Outbox) -> None:
        """Taps from the given moment on are returned, that moment included."""
        _filled(outbox, 5)

        recent = outbox.recent(START + timedelta(seconds=3))

        assert [s.seq for s in recent] == [4, 5]

    def test_prune_forgets_old_acknowledged_taps(self, outbox: Outbox) -> None:
        """Old taps that the cloud has are forgotten; sequence and chain go on."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 4)

        gone = outbox.prune(START + timedelta(seconds=2))
        outbox.append(tap(5))

        assert gone == 2
        assert [s.seq for s in outbox.since(0, 100)] == [3, 4, 5, 6]
        assert [s.seq for s in outbox.pending(100)] == [5, 6]

    def test_prune_spares_what_the_cloud_does_not_have(self, outbox: Outbox) -> None:
        """However old, a tap is kept until it is acknowledged."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 1)

        gone = outbox.prune(START + timedelta(days=3_650))

        assert gone == 1
        assert outbox.depth() == 4

    def test_chain_goes_on_when_everything_was_pruned(self, outbox: Outbox) -> None:
        """The tap after a complete pruning continues the last forgotten one."""
        _filled(outbox, 3)
        last = outbox.since(2, 1)[0]
        outbox.acknowledge(outbox.outbox_id, 3)
        outbox.prune(START + timedelta(days=1))

        sealed = outbox.append(tap(3))

        assert (4, last.digest()) == (sealed.seq, sealed.prev_hash)

    def test_rewind_stops_at_what_is_kept(self, outbox: Outbox) -> None:
        """Forgotten taps cannot be offered again; the kept ones are."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 5)
        outbox.prune(START + timedelta(seconds=2))

        outbox.rewind(outbox.outbox_id, 1)

        assert [s.seq for s in outbox.pending(100)] == [3, 4, 5]

    def test_renew_carries_pending_taps_over(self, outbox: Outbox) -> None:
        """A new history begins with the taps that the cloud lacks, under their own ids."""
        _filled(outbox, 5)
        outbox.acknowledge(outbox.outbox_id, 3)
        old_id = outbox.outbox_id

        new_id = outbox.renew("the cloud holds another end")

        assert new_id == outbox.outbox_id != old_id
        assert [(1, tap(3)), (2, tap(4))] == [(s.seq, s.tap) for s in outbox.pending(100)]
        assert outbox.append(tap(5)).seq == 3
