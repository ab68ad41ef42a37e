"""The edge's loop that keeps its certificate fresh, and comes back by itself when it was away."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cloud_sync.adapters.grpc.channel import Badge, NoBadge
from cloud_sync.adapters.grpc.device_client import DeviceAway, DeviceRefused, renew, renew_late
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.clock import Clock
from cloud_sync.stream.backoff import Backoff
from cloud_sync.trust.device import Route, is_renewal_due, route
from fare.log import say

_LOG = logging.getLogger(__name__)
_PATIENT = Backoff(base_s=60.0, cap_s=3_600.0)
"""A day's delay harms nothing, a city that asks at once does."""


@dataclass(frozen=True, slots=True)
class KeeperConfig:
    """Where a node renews."""

    target: str
    """`host:port` of the main port."""
    device_target: str
    """`host:port` of the device port."""
    look_s: float = 5.0
    """Between two looks at the certificate, seconds, above 0."""
    backoff: Backoff = field(default_factory=lambda: _PATIENT)
    """After a renewal that failed."""


class CertificateKeeper:
    """Renews when the certificate is a day old."""

    def __init__(
        self,
        trust: NodeTrust,
        *,
        config: KeeperConfig,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        """Take what the loop needs.

        Args:
            trust: The node's folder.
            config: Where.
            clock: The time.
            draw: Returns a random number in [0, 1).
        """
        self._trust = trust
        self._config = config
        self._clock = clock
        self._draw = draw
        self._failures = 0
        self._next_s = clock.monotonic_s()
        self._said = ""

    def run(self, stop: threading.Event) -> None:
        """Look after the certificate until `stop` is set; call it in a thread of its own.

        Args:
            stop: Ends the loop when the renewal on its way is through.
        """
        while not stop.is_set():
            self.look()
            stop.wait(self._config.look_s)

    def look(self) -> None:
        """Renew if it is time to."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        try:
            badge = self._trust.badge()
            if not is_renewal_due(badge.certified, self._clock.wall()):
                return
            fresh = self._renewed(badge)
        except (NoBadge, DeviceAway, DeviceRefused) as problem:
            self._failures += 1
            pause_s = self._config.backoff.delay_s(self._failures, self._draw())
            # Whoever joins now need not wait for the pause: without a badge nothing was asked.
            self._next_s = now_s if isinstance(problem, NoBadge) else now_s + pause_s
            self._tell(str(problem))
            return
        self._failures, self._said = 0, ""
        until = fresh.certified.not_after
        say(_LOG, "certificate_renewed", serial=fresh.certified.serial, until=until)

    def _renewed(self, badge: Badge) -> Badge:
        """Ask at the port that should open, then at the other: the node's clock may be wrong.

        Raises:
            DeviceAway: Neither port answers.
            DeviceRefused: The cloud said no.
            NoBadge: The folder cannot be used.
        """
        if route(badge.certified, self._clock.wall()) is Route.MAIN:
            try:
                return renew(self._trust, target=self._config.target)
            except DeviceAway:
                pass  # what expired by the cloud's clock ends in the handshake
        return renew_late(self._trust, target=self._config.device_target)

    def _tell(self, reason: str) -> None:
        """Log a failure once, until it is another one."""
        if reason != self._said:
            self._said = reason
            say(_LOG, "certificate_not_renewed", level=logging.WARNING, reason=reason)
