"""The cloud's own certificate for its two ports: made in memory, made anew every day.

gRPC asks before each handshake, so a new authority, a retired one and a new certificate count from
the next connection on, without a restart.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.clock import Clock
from cloud_sync.trust.authority import (
    SERIAL_BYTES,
    AuthorityFailed,
    CertificateAuthority,
    bundle,
    listener_signer,
    serial_of,
    sign_listener,
)
from cloud_sync.trust.certificate import key_to_pem
from fare.log import say

_LOG = logging.getLogger(__name__)
_RENEW_AFTER = timedelta(days=1)
"""As the nodes do."""


class Listener:
    """Gives both ports what they need for a handshake; may be asked by any thread."""

    def __init__(
        self,
        authority: CertificateAuthority,
        names: Sequence[str],
        *,
        clock: Clock,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Make a key, and the first certificate.

        Args:
            authority: Who signs, and by whom nodes are known.
            names: Host names and addresses that nodes dial, at least one.
            clock: The time.
            entropy: Gives that many random bytes.

        Raises:
            AuthorityFailed: There is none to sign.
        """
        self._authority = authority
        self._names = tuple(names)
        self._clock = clock
        self._entropy = entropy
        self._turn = threading.Lock()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = key_to_pem(self._key)
        self._held: tuple[bytes, bytes] = (b"", b"")
        self._made: datetime | None = None
        self._chain_and_trusted()

    def main_port(self) -> grpc.ServerCredentials:
        """Return what lets in nodes of a trusted authority alone."""
        return self._credentials(is_node_asked=True)

    def device_port(self) -> grpc.ServerCredentials:
        """Return what lets in anybody, and shows them who the cloud is."""
        return self._credentials(is_node_asked=False)

    def _credentials(self, *, is_node_asked: bool) -> grpc.ServerCredentials:
        shown = self._chain_and_trusted()

        def configuration(chain: bytes, trusted: bytes) -> grpc.ServerCertificateConfiguration:
            pairs = [(self._key_pem, chain)]
            return grpc.ssl_server_certificate_configuration(
                pairs, trusted if is_node_asked else None
            )

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            try:
                now = self._chain_and_trusted()
            except AuthorityFailed as problem:
                say(_LOG, "authority_failed", level=logging.ERROR, detail=str(problem))
                return None  # what was shown so far goes on
            if now == shown:
                return None
            shown = now
            return configuration(*now)

        return grpc.dynamic_ssl_server_credentials(configuration(*shown), changed, is_node_asked)

    def _chain_and_trusted(self) -> tuple[bytes, bytes]:
        """Return the certificate with its authority behind it, and all trusted ones, PEM."""
        authorities = self._authority.authorities()
        trusted = bundle(authorities)
        now = self._clock.wall()
        with self._turn:
            is_fresh = self._made is not None and abs(now - self._made) < _RENEW_AFTER
            if not is_fresh or self._held[1] != trusted:
                by = listener_signer(authorities)
                serial = serial_of(self._entropy(SERIAL_BYTES))
                public_key = self._key.public_key()
                leaf = sign_listener(by, public_key, self._names, serial=serial, now=now)
                self._held, self._made = (leaf + by.pem, trusted), now
            return self._held
