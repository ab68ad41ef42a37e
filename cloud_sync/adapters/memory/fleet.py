"""The fleet in memory: for tests, with the rules of the real one."""

from datetime import datetime, timedelta

from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.fleet.health import (
    HISTORY_STEP_S,
    HISTORY_STEPS,
    EdgeHealth,
    FleetNode,
    Report,
    Standing,
    slot,
)
from cloud_sync.stream.view import EdgeNode


class MemoryFleetLog:
    """A `FleetLog` that a restart empties."""

    def __init__(self, views: MemoryViewLog) -> None:
        """Start without reports.

        Args:
            views: Where the nodes are admitted; read at each call.
        """
        self._views = views
        self._latest: dict[str, Report] = {}
        self._past: dict[str, dict[int, Report]] = {}

    def report(self, node: EdgeNode, health: EdgeHealth, now: datetime) -> None:
        """See `FleetLog.report`."""
        report = Report(health, now)
        self._latest[node.edge_id] = report
        ring = self._past.setdefault(node.edge_id, {})
        there = ring.get(slot(now))
        if there is None or there.received_at < now - timedelta(seconds=HISTORY_STEP_S):
            ring[slot(now)] = report

    def nodes(self) -> tuple[FleetNode, ...]:
        """See `FleetLog.nodes`."""
        _, nodes, edges = self._views.held()
        found = [
            FleetNode(self._standing(node), self._latest.get(node.edge_id))
            for node in nodes.values()
            if node.edge_id in edges
        ]
        return tuple(sorted(found, key=lambda one: (one.standing.station_id, one.standing.edge_id)))

    def history(self, edge_id: str, now: datetime) -> tuple[Report, ...]:
        """See `FleetLog.history`."""
        oldest = now - timedelta(seconds=HISTORY_STEP_S * HISTORY_STEPS)
        kept = [one for one in self._past.get(edge_id, {}).values() if one.received_at > oldest]
        return tuple(sorted(kept, key=lambda one: one.received_at))

    def _standing(self, node: EdgeNode) -> Standing:
        head = self._views.head(node.station_id)
        assert head is not None, "admission makes the view"
        edges = self._views.edges(node.station_id)
        edge = next(one for one in edges if one.edge_id == node.edge_id)
        acked = edge.acked_rev if edge.epoch == head.epoch else 0
        return Standing(
            node.edge_id, node.station_id, head.head_rev, acked, edge.lease_until, head.lease_s
        )
