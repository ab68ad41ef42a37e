"""The edge's loop that tells the cloud how the node is."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from gateline.sync.v1 import fleet_service_pb2_grpc

from cloud_sync.adapters.grpc.channel import HEALTH_DEADLINE_S, BadgeSource, NoBadge, dial
from cloud_sync.clock import Clock
from cloud_sync.fleet.health import EdgeHealth
from cloud_sync.wire import health_to_proto
from fare.log import say

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReporterConfig:
    """Who reports, and where."""

    target: str
    """`host:port` of the cloud's main port."""
    edge_id: str
    """This node, as in its certificate."""
    badge: BadgeSource = field(repr=False)
    """Gives what the node is known by."""
    every_s: float = 10.0
    """Between two reports, seconds, above 0; the console calls a node silent after 35."""
    deadline_s: float = HEALTH_DEADLINE_S
    """For one report, seconds, above 0."""


class HealthReporter:
    """Sends a report again and again; one that is lost is not sent again."""

    def __init__(
        self, read: Callable[[], EdgeHealth], *, config: ReporterConfig, clock: Clock
    ) -> None:
        """Take what the loop needs.

        Args:
            read: Returns how the node is now.
            config: Who, and where.
            clock: The time.
        """
        self._read = read
        self._config = config
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Report until `stop` is set; call it in a thread of its own.

        Args:
            stop: Ends the loop when the report on its way is through.
        """
        was_heard = True
        while not stop.is_set():
            try:
                with dial(self._config.target, self._config.badge()) as channel:
                    was_heard = self._connection(channel, stop, was_heard=was_heard)
            except NoBadge as problem:
                was_heard = self._lost(str(problem), was_heard=was_heard)
                stop.wait(self._config.every_s)

    def _connection(self, channel: grpc.Channel, stop: threading.Event, *, was_heard: bool) -> bool:
        """Report over one channel until a report is lost: the next may need a newer certificate."""
        make = fleet_service_pb2_grpc.FleetServiceStub
        stub = make(channel)  # type: ignore[no-untyped-call]  # generated
        is_heard = True
        while is_heard and not stop.is_set():
            began_s = self._clock.monotonic_s()
            is_heard = was_heard = self._once(stub, was_heard=was_heard)
            spent_s = self._clock.monotonic_s() - began_s
            stop.wait(max(self._config.every_s - spent_s, 0.1))
        return was_heard

    def _once(self, stub: fleet_service_pb2_grpc.FleetServiceStub, *, was_heard: bool) -> bool:
        """Send one report; return whether the cloud has it.

        Args:
            stub: The cloud.
            was_heard: Whether the one before came through.
        """
        try:
            stub.ReportHealth(health_to_proto(self._read()), timeout=self._config.deadline_s)
        except grpc.RpcError as problem:
            reason = f"{problem.code().name}: {problem.details()}"
            return self._lost(reason, was_heard=was_heard)
        if not was_heard:
            say(_LOG, "reports_heard", edge_id=self._config.edge_id)
        return True

    def _lost(self, reason: str, *, was_heard: bool) -> bool:
        """Tell a silence once, not each time."""
        if was_heard:
            say(_LOG, "reports_lost", edge_id=self._config.edge_id, reason=reason)
        return False
