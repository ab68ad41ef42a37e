"""An entrance's end of presence: sends looks to the cloud, a few a second, and waits not long."""

import logging
from dataclasses import dataclass, field
from threading import Lock

import grpc
from gateline.sync.v1 import presence_service_pb2_grpc

from cloud_sync.adapters.grpc.channel import BadgeSource, NoBadge, dial
from cloud_sync.clock import Clock
from cloud_sync.master.presence import Allowance, Look, Outcome
from cloud_sync.wire.presence import look_to_proto, outcome_from_proto
from fare.log import say

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PresenceConfig:
    """Who asks, where, and how patiently."""

    target: str
    """`host:port` of the cloud's main port."""
    edge_id: str
    """This node, as in its certificate."""
    badge: BadgeSource = field(repr=False)
    """Gives what the node is known by."""
    deadline_s: float = 1.0
    """For one look, seconds, above 0: past it the rider has reached the gate."""
    allowance: Allowance = field(default_factory=Allowance)
    """Looks that may be sent; others are dropped here."""


class GrpcPresence:
    """The way to the cloud's `PresenceService`; may be used by several threads."""

    def __init__(self, config: PresenceConfig, clock: Clock) -> None:
        """Take where to ask; it connects with the first look.

        Args:
            config: Who, where, and how patiently.
            clock: The time.
        """
        self._config = config
        self._clock = clock
        self._left = config.allowance
        self._guard = Lock()
        self._channel: grpc.Channel | None = None
        self._was_heard = True

    def identify(self, look: Look) -> Outcome | None:
        """Ask the cloud to make this station ready for whoever is seen.

        Args:
            look: A face in the entrance's zone; it is forgotten when this returns.

        Returns:
            The cloud's answer, `BUSY` where the node itself held it back; None without an answer:
            nothing is sent again.
        """
        with self._guard:
            self._left, may = self._left.take(self._clock.monotonic_s())
        if not may:
            return Outcome.BUSY
        request = look_to_proto(look, self._config.edge_id)
        try:
            make = presence_service_pb2_grpc.PresenceServiceStub
            stub = make(self._dialed())  # type: ignore[no-untyped-call]  # generated
            response = stub.Identify(request, timeout=self._config.deadline_s)
        except NoBadge as problem:
            self._lost(str(problem))
            return None
        except grpc.RpcError as problem:
            self._lost(problem.code().name)
            return None
        self._was_heard = True
        return outcome_from_proto(response)

    def close(self) -> None:
        """Hang up; the next look dials anew."""
        with self._guard:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _dialed(self) -> grpc.Channel:
        with self._guard:
            if self._channel is None:
                self._channel = dial(self._config.target, self._config.badge())
            return self._channel

    def _lost(self, reason: str) -> None:
        """Tell a silence once, not with each look; the next may need a newer certificate."""
        if self._was_heard:
            say(_LOG, "presence_lost", level=logging.WARNING, reason=reason)
        self._was_heard = False
        self.close()
