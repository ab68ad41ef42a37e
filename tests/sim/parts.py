"""The shipped parts that a run is made of; a control replaces one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.stream import follow, lease, serve_view, view
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps import uplink
from cloud_sync.taps.signing import NodeKey
from tests.sim.options import EDGES

START = datetime(2026, 5, 4, 6, tzinfo=UTC)
"""Second 0 by the cloud's clock, aware UTC."""
KEYS = tuple(NodeKey(bytes([number]) * 32) for number in range(1, EDGES + 1))
PUBLIC_KEYS = tuple(key.public_key for key in KEYS)


@dataclass(frozen=True, slots=True)
class Parts:
    """The shipped state machines and memory adapters."""

    follow: Callable[..., Any] = follow.step
    serve: Callable[..., Any] = serve_view.step
    plan: Callable[..., Any] = view.plan
    is_usable: Callable[..., bool] = lease.is_usable
    views: type[MemoryViewLog] = MemoryViewLog
    replica: type[MemoryReplica] = MemoryReplica
    taps: type[MemoryTapLog] = MemoryTapLog
    settle: Callable[..., Any] = uplink.settle
    regard: Callable[..., Any] = uplink.regard


def node_of(number: int, station_id: str) -> EdgeNode:
    """Return how an edge is admitted."""
    return EdgeNode(f"edge-{number}", station_id, PUBLIC_KEYS[number])
