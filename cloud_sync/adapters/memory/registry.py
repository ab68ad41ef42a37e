"""Devices in memory: for tests and models, with the rules of the real registry."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.trust.bootstrap import Applicant, Token, flaw_of
from cloud_sync.trust.device import GRACE, CertificateState, Certified, Identity, Known
from cloud_sync.trust.registry import AUDIT_KEPT, AuditLine, Device, Redeemed, What, newest


class MemoryRegistry:
    """A `DeviceRegistry` that a restart empties; see the port for its promises."""

    def __init__(
        self, views: MemoryViewLog, *, on_revoked: Callable[[str], None] = lambda _: None
    ) -> None:
        """Join a view log.

        Args:
            views: Where edges are admitted.
            on_revoked: Told each edge that was revoked, as PostgreSQL tells its listeners.
        """
        self._views = views
        self._on_revoked = on_revoked
        self._tokens: dict[bytes, Token] = {}
        self._certificates: dict[str, Certified] = {}
        self._denied: set[tuple[str, str]] = set()
        self._owners: dict[bytes, str] = {}
        self._audit: dict[What, deque[tuple[int, AuditLine]]] = defaultdict(
            lambda: deque(maxlen=AUDIT_KEPT)
        )
        self._noted = 0

    def offer(self, token: Token) -> None:
        """See `DeviceRegistry.offer`."""
        self._tokens[token.digest] = token

    def redeem(self, digest: bytes, applicant: Applicant, now: datetime) -> Redeemed:
        """See `DeviceRegistry.redeem`."""
        token = self._tokens.get(digest)
        flaw = flaw_of(token, applicant, now)
        if token is None or flaw is not None:
            assert flaw is not None
            return flaw
        if not self.bind_key(applicant.key_digest, token.identity.edge_id):
            return CertificateState.KEY_REUSED
        self._tokens[digest] = replace(token, used_by=applicant.key_digest)
        self._denied.discard(("edge", token.identity.edge_id))
        return token.identity

    def bind_key(self, key_digest: bytes, edge_id: str) -> bool:
        """See `DeviceRegistry.bind_key`."""
        return self._owners.setdefault(key_digest, edge_id) == edge_id

    def issued(self, certificate: Certified, now: datetime) -> None:
        """See `DeviceRegistry.issued`."""
        self._certificates[certificate.serial] = certificate
        for serial, each in tuple(self._certificates.items()):
            if each.not_after + GRACE < now:
                del self._certificates[serial]

    def known(self, edge_id: str, serial: str, key_digest: bytes) -> Known:
        """See `DeviceRegistry.known`."""
        node = self._views.edge(edge_id)
        is_revoked = not self._denied.isdisjoint((("edge", edge_id), ("serial", serial)))
        owner = self._owners.get(key_digest)
        return Known(None if node is None else node.station_id, is_revoked, owner)

    def revoke(self, name: str, now: datetime) -> tuple[str, ...]:
        """See `DeviceRegistry.revoke`."""
        del now
        found = set()
        if self._views.edge(name) is not None:
            found.add(name)
            self._denied.add(("edge", name))
        for serial, each in self._certificates.items():
            if name in (serial, each.identity.edge_id):
                found.add(each.identity.edge_id)
                self._denied.add(("serial", serial))
        for edge_id in found:
            self._on_revoked(edge_id)
        return tuple(sorted(found))

    def devices(self) -> tuple[Device, ...]:
        """See `DeviceRegistry.devices`."""
        _, nodes, _ = self._views.held()
        return tuple(
            Device(
                Identity(node.station_id, node.edge_id),
                ("edge", node.edge_id) in self._denied,
                newest(
                    each
                    for each in self._certificates.values()
                    if each.identity.edge_id == node.edge_id
                ),
            )
            for node in sorted(nodes.values(), key=lambda each: (each.station_id, each.edge_id))
        )

    def note(self, line: AuditLine) -> None:
        """See `DeviceRegistry.note`."""
        self._noted += 1
        self._audit[line.what].append((self._noted, line))

    def audited(self, limit: int) -> tuple[AuditLine, ...]:
        """See `DeviceRegistry.audited`."""
        lines = [pair for kept in self._audit.values() for pair in kept]
        lines.sort(key=lambda pair: pair[0], reverse=True)
        return tuple(line for _, line in lines[:limit])
