"""The keys a node holds, and when it no longer does."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.adapters.grpc.granted import Granted
from cloud_sync.adapters.memory.keys import MemoryKeyStore, MemoryVault
from cloud_sync.secrecy.grant import GrantRefused
from cloud_sync.secrecy.sealer import Sealer
from tests.templates import EPOCH, SPACE

NEXT = UUID(int=0xE1)
DAY = timedelta(days=1)


class Node:
    """A node's keys, and a cloud that grants them."""

    def __init__(self, vault: MemoryVault | None = None) -> None:
        """Serve EPOCH; nothing is granted yet."""
        self.vault = vault or MemoryVault()
        self.granted = Granted(
            self.vault,
            station_id="bell-tower",
            edge_id="edge-1",
            dimension=SPACE.dimension,
            entropy=bytes,
        )
        self.ring = MemoryKeyStore(entropy=lambda count: bytes(range(count))).ring()

    def takes(self, until: datetime, *, epoch: UUID = EPOCH, edge_id: str = "edge-1") -> None:
        """Take a grant on a new stream."""
        key = self.granted.new_stream()
        sealer = Sealer(
            self.ring, self.ring.root, station_id="bell-tower", epoch=epoch, entropy=bytes
        )
        self.granted.take(epoch, sealer.granted(until, edge_id=edge_id, recipient=key))


class TestGranted:
    """From the grant to the end of the lease."""

    def test_ends_with_the_lease(self, noon: datetime) -> None:
        """At the end of its time a grant is forgotten, in memory and in the vault."""
        node = Node()
        node.granted.wake(EPOCH, noon)
        node.takes(noon + DAY)

        early = node.granted.expire(noon + DAY - timedelta(seconds=1))
        held = (node.granted.opener(EPOCH) is not None, node.vault.load() is not None)
        late = node.granted.expire(noon + DAY)

        assert (early, held, late) == (False, (True, True), True)
        assert node.granted.opener(EPOCH) is None
        assert node.vault.load() is None

    def test_a_later_lease_is_not_shortened(self, noon: datetime) -> None:
        """The same keys granted for less keep their time, and the matrices are not made anew."""
        node = Node()
        node.granted.wake(EPOCH, noon)
        node.takes(noon + DAY)
        first = node.granted.opener(EPOCH)

        node.takes(noon + DAY / 2)

        assert not node.granted.expire(noon + DAY / 2)
        assert node.granted.opener(EPOCH) is first

    def test_outlives_the_process_within_its_time(self, noon: datetime) -> None:
        """A restarted node reads on with its vault; one that comes back too late does not."""
        first = Node()
        first.granted.wake(EPOCH, noon)
        first.takes(noon + DAY)
        again, late = Node(first.vault), Node(MemoryVault())
        kept = first.vault.load()
        assert kept is not None
        late.vault.keep(kept)

        again.granted.wake(EPOCH, noon + DAY / 2)
        late.granted.wake(EPOCH, noon + DAY)

        assert again.granted.opener(EPOCH) is not None
        assert late.granted.opener(EPOCH) is None
        assert late.vault.load() is None

    def test_of_another_history_is_not_taken_up(self, noon: datetime) -> None:
        """Keys of an epoch that the disk does not hold open nothing there and are thrown away."""
        first = Node()
        first.granted.wake(EPOCH, noon)
        first.takes(noon + DAY)
        again = Node(first.vault)

        again.granted.wake(NEXT, noon)

        assert again.granted.opener(NEXT) is None
        assert again.vault.load() is None

    def test_the_next_epochs_keys_wait_for_its_snapshot(self, noon: datetime) -> None:
        """While a snapshot arrives the vault keeps what opens the disk; after the swap the new."""
        node = Node()
        node.granted.wake(EPOCH, noon)
        node.takes(noon + DAY)
        node.takes(noon + DAY, epoch=NEXT)
        during = node.vault.load()

        node.granted.serve(NEXT)
        after = node.vault.load()

        assert during is not None
        assert after is not None
        assert (during.epoch, after.epoch) == (EPOCH, NEXT)
        assert node.granted.opener(EPOCH) is None

    @pytest.mark.parametrize("what", ["edge", "epoch", "stream"])
    def test_refuses_what_is_not_its_own(self, noon: datetime, what: str) -> None:
        """A grant for another node, history or stream opens nothing."""
        node = Node()
        node.granted.wake(EPOCH, noon)
        sealer = Sealer(
            node.ring, node.ring.root, station_id="bell-tower", epoch=EPOCH, entropy=bytes
        )
        key = node.granted.new_stream()
        edge_id = "edge-2" if what == "edge" else "edge-1"
        if what == "stream":
            key = bytes((9, *bytes(31)))  # the curve's base point: another key than the stream's
        wrapped = sealer.granted(noon + DAY, edge_id=edge_id, recipient=key)

        with pytest.raises(GrantRefused):
            node.granted.take(NEXT if what == "epoch" else EPOCH, wrapped)

        assert node.granted.opener(EPOCH) is None
