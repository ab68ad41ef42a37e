"""What a node is known by and whom it trusts, in a folder that only its owner can read.

`tls.key` is made here and never leaves; `tls.crt`, `trusted.pem` and `cloud.pub` come from the
cloud, at enrollment and with each renewal. Each file is replaced whole; the certificate is last,
so a node that has one has all.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.adapters.disk.private_folder import (
    NotPrivate,
    private_folder,
    read_private,
    write_private,
)
from cloud_sync.adapters.grpc.channel import Badge, NoBadge
from cloud_sync.trust.certificate import (
    CertificateRefused,
    digest_of,
    key_of_pem,
    key_to_pem,
    read_node,
)

_KEY, _CERTIFICATE, _TRUSTED, _CLOUD = "tls.key", "tls.crt", "trusted.pem", "cloud.pub"
_Mark = tuple[int, int]


class NodeTrust:
    """A node's folder of trust; may be read by several threads."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing is read or made yet.

        Args:
            folder: Mode 0700, made by `key`.
        """
        self._folder = folder
        self._known: tuple[_Mark, Badge] | None = None

    def key(self) -> ec.EllipticCurvePrivateKey:
        """Return the node's TLS key, made at the first call and the same ever after.

        Raises:
            NoBadge: The folder cannot be used, or others can read it.
        """
        try:
            private_folder(self._folder)
            if not (self._folder / _KEY).exists():
                write_private(
                    self._folder / _KEY, key_to_pem(ec.generate_private_key(ec.SECP256R1()))
                )
            return key_of_pem(read_private(self._folder / _KEY))
        except (OSError, NotPrivate, CertificateRefused) as problem:
            raise NoBadge(f"{self._folder / _KEY}: {problem}") from problem

    def save(self, certificate: bytes, trusted: bytes, cloud_key: bytes) -> Badge:
        """Keep what the cloud has given; durable on return.

        Args:
            certificate: PEM.
            trusted: The authorities, PEM.
            cloud_key: Ed25519, 32 bytes.

        Raises:
            NoBadge: It is not for this node's key, or is not kept.
        """
        try:
            is_mine = read_node(certificate).certified.key_digest == digest_of(
                self.key().public_key()
            )
            if not is_mine:
                raise NoBadge("the cloud's certificate is for another key")
            write_private(self._folder / _CLOUD, cloud_key.hex().encode() + b"\n")
            write_private(self._folder / _TRUSTED, trusted)
            write_private(self._folder / _CERTIFICATE, certificate)
        except (OSError, CertificateRefused) as problem:
            raise NoBadge(f"{self._folder}: {problem}") from problem
        return self.badge()

    def badge(self) -> Badge:
        """Return what the node has now; read again when the certificate has changed.

        Raises:
            NoBadge: It has none; the words say what to do.
        """
        known = self._known
        try:
            if known is not None and known[0] == self._mark():
                return known[1]
            mark = self._mark()
            badge = self._read()
        except FileNotFoundError:
            raise NoBadge(
                "this node has no certificate: python -m cloud_sync token STATION EDGE at the "
                "cloud, then python -m edge_gate join CONFIG here"
            ) from None
        except (OSError, NotPrivate, ValueError) as problem:
            raise NoBadge(f"{self._folder}: {problem}") from problem
        self._known = (mark, badge)
        return badge

    def _read(self) -> Badge:
        certificate = read_private(self._folder / _CERTIFICATE)
        key = read_private(self._folder / _KEY)
        return Badge(
            read_node(certificate).certified,
            certificate,
            key_to_pem(key_of_pem(key)),
            read_private(self._folder / _TRUSTED),
            bytes.fromhex(read_private(self._folder / _CLOUD).decode("ascii")),
        )

    def _mark(self) -> _Mark:
        found = (self._folder / _CERTIFICATE).stat()
        return found.st_ino, found.st_mtime_ns
