"""The edge's loop that tells the cloud how the node is."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from gateline.sync.v1 import fleet_service_pb2_grpc

from cloud_sync.adapters.grpc_channel import HEALTH_DEADLINE_S, dial
from cloud_sync.clock import Clock
from cloud_sync.fleet import EdgeHealth
from cloud_sync.wire import health_to_proto
from fare.log import say

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReporterConfig:
    """Who reports, and where."""

    target: str
    """`host:port` of the cloud."""
    edge_id: str
    """This node, as admitted."""
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
        channel = dial(self._config.target)
        make = fleet_service_pb2_grpc.FleetServiceStub
        stub = make(channel)  # type: ignore[no-untyped-call]  # generated
        was_heard = True
        try:
            while not stop.is_set():
                began_s = self._clock.monotonic_s()
                was_heard = self._once(stub, was_heard=was_heard)
                spent_s = self._clock.monotonic_s() - began_s
                stop.wait(max(self._config.every_s - spent_s, 0.1))
        finally:
            channel.close()

    def _once(self, stub: fleet_service_pb2_grpc.FleetServiceStub, *, was_heard: bool) -> bool:
        """Send one report; return whether the cloud has it. A silence is told once, not each time.

        Args:
            stub: The cloud.
            was_heard: Whether the one before came through.
        """
        try:
            stub.ReportHealth(health_to_proto(self._read()), timeout=self._config.deadline_s)
        except grpc.RpcError as problem:
            if was_heard:
                reason = f"{problem.code().name}: {problem.details()}"
                say(_LOG, "reports_lost", edge_id=self._config.edge_id, reason=reason)
            return False
        if not was_heard:
            say(_LOG, "reports_heard", edge_id=self._config.edge_id)
        return True
