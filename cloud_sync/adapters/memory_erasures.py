"""The erasure ledger in memory: for tests, with the rules of the real one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from cloud_sync.adapters.memory_view import MemoryViewLog
from cloud_sync.erasure import Erasure, NodeErasure, Proof


class MemoryErasureLedger:
    """An `ErasureLedger` that a restart empties."""

    def __init__(self, views: MemoryViewLog, *, copy: Callable[[Erasure], None]) -> None:
        """Start without erasures.

        Args:
            views: Told of acknowledgements from here on.
            copy: Writes an erasure outside.
        """
        self._views = views
        self._copy = copy
        self._proofs: dict[tuple[UUID, datetime], Proof] = {}
        views.on_ack.append(self._heard)
        views.on_epoch.append(self._renewed)

    def erase(self, erasure: Erasure) -> bool:
        """See `ErasureLedger.erase`."""
        key = (erasure.rider_ref, erasure.at)
        if key in self._proofs:
            return False
        nodes = sorted(
            (
                self._node(edge_id, station, rev, erasure.at)
                for station, rev in self._views.drops(erasure.rider_ref).items()
                for edge_id in self._views.followers(station)
            ),
            key=lambda node: (node.station_id, node.edge_id),
        )
        self._copy(erasure)
        self._proofs[key] = Proof(erasure, tuple(nodes))
        return True

    def proofs(self, rider_ref: UUID) -> tuple[Proof, ...]:
        """See `ErasureLedger.proofs`."""
        mine = [proof for (ref, _), proof in self._proofs.items() if ref == rider_ref]
        return tuple(sorted(mine, key=lambda proof: proof.erasure.at))

    def recent(self, limit: int) -> tuple[Proof, ...]:
        """See `ErasureLedger.recent`."""
        newest = sorted(self._proofs.values(), key=lambda proof: proof.erasure.at, reverse=True)
        return tuple(newest[:limit])

    def _node(self, edge_id: str, station: str, rev: int, at: datetime) -> NodeErasure:
        head = self._views.head(station)
        assert head is not None, "a view that dropped somebody exists"
        _, _, edges = self._views.held()
        edge = edges[edge_id]
        is_gone = edge.epoch == head.epoch and edge.acked_rev >= rev
        return NodeErasure(
            edge_id, station, head.epoch, rev, edge.lease_until, at if is_gone else None
        )

    def _heard(self, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
        def after(node: NodeErasure) -> NodeErasure:
            is_it = (node.edge_id, node.epoch, node.acked_at) == (edge_id, epoch, None)
            return replace(node, acked_at=now) if is_it and node.drop_rev <= rev else node

        self._each(after)

    def _renewed(self, station_id: str, epoch: UUID) -> None:
        def after(node: NodeErasure) -> NodeErasure:
            waits = node.station_id == station_id and node.acked_at is None
            return replace(node, epoch=epoch) if waits else node

        self._each(after)

    def _each(self, change: Callable[[NodeErasure], NodeErasure]) -> None:
        for key, proof in self._proofs.items():
            nodes = tuple(change(node) for node in proof.nodes)
            self._proofs[key] = replace(proof, nodes=nodes)
