"""The erasure ledger in memory: for tests, with the rules of the real one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.fleet.erasure import Erasure, NodeErasure, Proof
from cloud_sync.stream.view import Head
from cloud_sync.view_id import station_of


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
        views.on_follow.append(self._led)
        views.unproven = self._unproven

    def erase(self, erasure: Erasure) -> bool:
        """See `ErasureLedger.erase`."""
        key = (erasure.rider_ref, erasure.at)
        if key in self._proofs:
            return False
        dropped = self._views.drops(erasure.rider_ref)
        # A set: an edge that is leaving one view of its station for the other counts once.
        due = {
            (edge_id, self._views.led(edge_id, view))
            for view in dropped
            for edge_id in self._views.followers(view)
        }
        nodes = sorted(
            (self._node(edge_id, view, dropped.get(view), erasure.at) for edge_id, view in due),
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

    def _unproven(self, edge_id: str) -> list[UUID]:
        return [
            proof.erasure.rider_ref
            for proof in self._proofs.values()
            if any(node.edge_id == edge_id and node.acked_at is None for node in proof.nodes)
        ]

    def _node(self, edge_id: str, view: str, dropped: int | None, at: datetime) -> NodeErasure:
        head = self._views.head(view)
        assert head is not None, "a view that is followed exists"
        rev = head.head_rev if dropped is None else dropped
        _, _, edges = self._views.held()
        edge = edges[edge_id]
        is_gone = edge.epoch == head.epoch and edge.acked_rev >= rev
        return NodeErasure(
            edge_id, station_of(view), head.epoch, rev, edge.lease_until, at if is_gone else None
        )

    def _heard(self, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
        def after(node: NodeErasure) -> NodeErasure:
            is_it = (node.edge_id, node.epoch, node.acked_at) == (edge_id, epoch, None)
            return replace(node, acked_at=now) if is_it and node.drop_rev <= rev else node

        self._each(after)

    def _renewed(self, view_id: str, epoch: UUID) -> None:
        def after(node: NodeErasure) -> NodeErasure:
            is_it = self._views.led(node.edge_id, node.station_id) == view_id
            return replace(node, epoch=epoch) if is_it and node.acked_at is None else node

        self._each(after)

    def _led(self, edge_id: str, head: Head) -> None:
        def after(node: NodeErasure) -> NodeErasure:
            is_it = (node.edge_id, node.station_id) == (edge_id, station_of(head.station_id))
            waits = is_it and node.acked_at is None
            return replace(node, epoch=head.epoch, drop_rev=head.head_rev) if waits else node

        self._each(after)

    def _each(self, change: Callable[[NodeErasure], NodeErasure]) -> None:
        for key, proof in self._proofs.items():
            nodes = tuple(change(node) for node in proof.nodes)
            self._proofs[key] = replace(proof, nodes=nodes)
