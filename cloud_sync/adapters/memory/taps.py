"""The tap log in memory: for tests and models, with the rules of the real one."""

from datetime import datetime
from uuid import UUID

from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.ingest import Aside, Known, SetAside, Stored, judge
from cloud_sync.taps.outbox import SealedTap
from cloud_sync.taps.tap_log import Batch, EdgeUnknown, Quarantined, Receipt


class MemoryTapLog:
    """A tap log that a restart empties."""

    def __init__(self, nodes: dict[str, EdgeNode]) -> None:
        """Start without taps.

        Args:
            nodes: The admitted edges by id; read at each batch.
        """
        self._nodes = nodes
        self._owner: dict[UUID, str] = {}
        self._durable: dict[UUID, int] = {}
        self._log: list[SealedTap] = []
        self._aside: list[SetAside] = []

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Store a batch; what is stored already changes nothing."""
        del received
        node = self._nodes.get(batch.edge_id)
        if node is None:
            raise EdgeUnknown(f"{batch.edge_id} is not admitted")
        if self._owner.setdefault(batch.outbox_id, batch.edge_id) != batch.edge_id:
            raise EdgeUnknown(f"outbox {batch.outbox_id} is not of {batch.edge_id}")
        judgement = judge(batch, node, self._known(batch.outbox_id))
        self._log.extend(judgement.store)
        for item in judgement.set_aside:
            self._keep(item)
        self._durable[batch.outbox_id] = judgement.receipt.durable_seq
        return judgement.receipt

    def stored(self, outbox_id: UUID) -> tuple[SealedTap, ...]:
        """Return the taps in the log of one outbox, by sequence."""
        here = (sealed for sealed in self._log if sealed.outbox_id == outbox_id)
        return tuple(sorted(here, key=lambda sealed: sealed.seq))

    def quarantined(self, outbox_id: UUID) -> tuple[Quarantined, ...]:
        """Return what was kept aside of one outbox, in the order of arrival."""
        here = (item for item in self._aside if item.sealed.outbox_id == outbox_id)
        return tuple(Quarantined(item.sealed, item.blemish) for item in here)

    def lose_after(self, count: int) -> None:
        """Forget all but the first `count` taps, as a standby that lagged behind would."""
        self._log = self._log[:count]
        for outbox_id in self._durable:
            held = {sealed.seq for sealed in self._log if sealed.outbox_id == outbox_id}
            seq = 0
            while seq + 1 in held:
                seq += 1
            self._durable[outbox_id] = seq

    def _keep(self, item: SetAside) -> None:
        for place, known in enumerate(self._aside):
            if known.sealed == item.sealed:
                self._aside[place] = item
                return
        self._aside.append(item)

    def _known(self, outbox_id: UUID) -> Known:
        stored = {
            sealed.seq: Stored(sealed.prev_hash, sealed.digest())
            for sealed in self._log
            if sealed.outbox_id == outbox_id
        }
        aside: dict[int, tuple[Aside, ...]] = {}
        for item in self._aside:
            if item.sealed.outbox_id == outbox_id:
                kept = Aside(item.sealed.digest(), item.sealed.signature, item.is_settled)
                aside[item.sealed.seq] = (*aside.get(item.sealed.seq, ()), kept)
        return Known(self._durable.get(outbox_id, 0), stored, aside)
