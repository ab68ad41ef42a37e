"""The edge's loop that sends taps: performs what `uplink` decides."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from gateline.sync.v1 import tap_service_pb2_grpc

from cloud_sync.adapters.grpc.channel import (
    TAPS_DEADLINE_S,
    BadgeSource,
    NoBadge,
    dial,
    dial_device,
)
from cloud_sync.adapters.grpc.device_client import GraceTapSink
from cloud_sync.clock import Clock
from cloud_sync.stream.backoff import Backoff
from cloud_sync.taps.outbox import Outbox, OutboxFailed
from cloud_sync.taps.tap_log import Batch, Receipt
from cloud_sync.taps.uplink import LinkDown, LinkRefused, Outcome, Position, TapSink, ask, step
from cloud_sync.trust.device import Route, route
from cloud_sync.wire import batch_to_proto, receipt_from_proto
from fare.log import say

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1
"""How soon a tap goes up that nobody announced, seconds."""
_PAST_MAIN_S = 30.0
"""So long taps go past the main port before the node tries it again, seconds."""
_ASK_S = 300.0
"""Between two questions what the cloud holds, seconds: after a failover all is to be in step within
5 min (reference/reliability.md, R14)."""
_REFUSALS = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """Whose taps go up, and where."""

    target: str
    """`host:port` of the cloud's main port."""
    edge_id: str
    """This node, as in its certificate."""
    badge: BadgeSource = field(repr=False)
    """Gives what the node is known by."""
    device_target: str = ""
    """`host:port` of the device port; empty goes nowhere without a good certificate."""
    deadline_s: float = TAPS_DEADLINE_S
    """For one batch, seconds, above 0."""
    backoff: Backoff = field(default_factory=Backoff)
    """After a batch that failed."""


class GrpcTapSink:
    """The cloud's tap log, over one channel."""

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = TAPS_DEADLINE_S) -> None:
        """Take a channel.

        Args:
            channel: To the cloud; not closed here.
            deadline_s: For one batch, seconds, above 0.
        """
        stub = tap_service_pb2_grpc.TapServiceStub
        self._stub = stub(channel)  # type: ignore[no-untyped-call]  # generated
        self._deadline_s = deadline_s

    def send(self, batch: Batch) -> Receipt:
        """Send a batch and return what the cloud holds after its commit."""
        try:
            response = self._stub.BatchCreateTaps(batch_to_proto(batch), timeout=self._deadline_s)
        except grpc.RpcError as problem:
            detail = f"{problem.code().name}: {problem.details()}"
            if problem.code() in _REFUSALS:
                raise LinkRefused(detail) from problem
            raise LinkDown(detail) from problem
        return receipt_from_proto(response)


class TapUplink:
    """Sends what the outbox holds, until the cloud has it."""

    def __init__(
        self, outbox: Outbox, *, config: UplinkConfig, clock: Clock, draw: Callable[[], float]
    ) -> None:
        """Take what the loop needs.

        Args:
            outbox: The lanes append to it; this loop reads and acknowledges.
            config: Whose taps, and where.
            clock: The time.
            draw: Returns a random number in [0, 1).
        """
        self._outbox = outbox
        self._config = config
        self._clock = clock
        self._draw = draw
        self._nudged = threading.Event()
        self._is_refused = False
        """Whether the main port has just said no."""

    def nudge(self) -> None:
        """Say that a tap was appended, so that it goes up at once; any thread may."""
        self._nudged.set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; call it in a thread of its own.

        Args:
            stop: Ends the loop when the batch on its way is through.
        """
        position = Position()
        failures = 0
        while not stop.is_set():
            began_s = self._clock.monotonic_s()
            try:
                position = self._connection(position, stop)
            except (LinkDown, LinkRefused, NoBadge, OutboxFailed) as problem:
                held_s = self._clock.monotonic_s() - began_s
                failures = self._config.backoff.failures_after(failures, held_s)
                self._rest(problem, failures, stop)

    def _connection(self, position: Position, stop: threading.Event) -> Position:
        """Send over one connection, until it breaks or another way may be open.

        Raises:
            LinkDown, LinkRefused, OutboxFailed: As `uplink.step` does.
            NoBadge: Nobody would take the taps.
        """
        badge, config = self._config.badge(), self._config
        in_time = route(badge.certified, self._clock.wall()) is Route.MAIN
        is_past_main = bool(config.device_target) and (self._is_refused or not in_time)
        self._is_refused = False
        sink: TapSink
        if is_past_main:
            channel = dial_device(config.device_target, badge.trusted)
            sink = GraceTapSink(channel, badge, deadline_s=config.deadline_s)
        else:
            channel = dial(config.target, badge)
            sink = GrpcTapSink(channel, deadline_s=config.deadline_s)
        until_s = self._clock.monotonic_s() + (_PAST_MAIN_S if is_past_main else math.inf)
        try:
            asked_s = -math.inf
            while not stop.is_set() and (now_s := self._clock.monotonic_s()) < until_s:
                if not is_past_main and now_s - asked_s >= _ASK_S:
                    position = self._note(*ask(self._outbox, sink, self._config.edge_id))
                    asked_s = now_s
                position = self._once(sink, position)
        except LinkRefused:
            self._is_refused = not is_past_main
            raise
        finally:
            channel.close()
        return position

    def _once(self, sink: TapSink, position: Position) -> Position:
        self._nudged.clear()
        position, outcome = step(self._outbox, sink, self._config.edge_id, position)
        if outcome is Outcome.IDLE:
            self._nudged.wait(_POLL_S)
        return self._note(position, outcome)

    def _note(self, position: Position, outcome: Outcome) -> Position:
        """Say what a person must hear of."""
        if outcome in (Outcome.STUCK, Outcome.RENEWED):
            say(
                _LOG,
                f"uplink_{outcome.value}",
                level=logging.ERROR,
                outbox_id=self._outbox.outbox_id,
                wanted_seq=position.wanted_seq,
            )
        return position

    def _rest(self, problem: Exception, failures: int, stop: threading.Event) -> None:
        delay_s = self._config.backoff.delay_s(failures, self._draw())
        level = logging.INFO if isinstance(problem, LinkDown) else logging.ERROR
        say(
            _LOG,
            "taps_wait",
            level=level,
            reason=str(problem),
            depth=self._outbox.depth(),
            again_in_s=round(delay_s, 3),
        )
        stop.wait(delay_s)
