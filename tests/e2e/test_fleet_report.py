"""Reports over real gRPC, from the loop of a node to the log of the fleet."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import grpc
import pytest
from gateline.sync.v1 import fleet_service_pb2_grpc

from cloud_sync.adapters.grpc.client import HealthReporter, ReporterConfig, dial
from cloud_sync.adapters.grpc.server import ServerConfig, Stores, serve
from cloud_sync.adapters.memory.fleet import MemoryFleetLog
from cloud_sync.adapters.memory.registry import MemoryRegistry
from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.wakes import Wakes
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.fleet.health import EdgeHealth
from cloud_sync.stream.view import EdgeNode
from cloud_sync.wire import health_to_proto
from tests.fleet import NOON, health
from tests.served import free_port
from tests.trust import source, trust_of

BELL = EdgeNode("edge-1", "bell-tower", bytes(32))
PATIENCE_S = 10.0


@dataclass
class Cloud:
    """A server in a thread, over stores in memory."""

    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        """Admit one node."""
        numbers = itertools.count(1)
        self.views = MemoryViewLog(lambda: UUID(int=next(numbers)))
        self.views.admit(BELL, NOON)
        self.fleet = MemoryFleetLog(self.views)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve; return when it does."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop serving."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(
            Stores(self.views, MemoryTapLog({}), trust_of(MemoryRegistry(self.views)), self.fleet),
            ServerConfig(f"127.0.0.1:{self.port}", grace_s=0.1),
            wakes=Wakes(),
            clock=SystemClock(),
            stop=self._stop,
            on_ready=lambda _: ready.set(),
        )

    def heard(self) -> EdgeHealth | None:
        """Return the node's latest report."""
        (node,) = self.fleet.nodes()
        return node.report.health if node.report else None


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Give a cloud, not serving yet."""
    made = Cloud()
    yield made
    made.stop()


def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    ends_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < ends_s, "it never came true"
        time.sleep(0.01)


def test_a_node_is_heard_again_and_again(cloud: Cloud) -> None:
    """The loop reports before there is a cloud, through its absence, and the newest word counts."""
    depths = itertools.count()
    stop = threading.Event()
    config = ReporterConfig(
        f"127.0.0.1:{cloud.port}", "edge-1", source(), every_s=0.05, deadline_s=1.0
    )
    loop = HealthReporter(
        lambda: health("edge-1", "not-mine", outbox_depth=next(depths)),
        config=config,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        cloud.start()
        until(lambda: cloud.heard() is not None)
        first = cloud.heard()
        until(lambda: cloud.heard() != first)
    finally:
        stop.set()
        thread.join(PATIENCE_S)

    assert not thread.is_alive()
    assert first is not None
    assert first.station_id == "bell-tower"  # from the cloud's own list, not from the message


def test_a_stranger_is_not_listed(cloud: Cloud) -> None:
    """A report of a node that nobody admitted is refused, and leaves no trace."""
    cloud.start()
    channel = dial(f"127.0.0.1:{cloud.port}", source("mallory")())
    stub = fleet_service_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]

    with pytest.raises(grpc.RpcError) as refused:
        stub.ReportHealth(health_to_proto(health("mallory")), timeout=2.0)
    channel.close()

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert cloud.heard() is None
