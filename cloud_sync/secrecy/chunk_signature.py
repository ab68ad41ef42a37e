"""The cloud's signature over a chunk: who ends the TLS in between cannot put a template into it.

Signed are the station, the epoch, the revisions that the chunk leads from and to, its place, its
kind and its digest, which covers every change in order. The node gets the public half when it is
admitted.
"""

from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloud_sync.fields import joined

_RECORD = b"gateline record 1"


@dataclass(frozen=True, slots=True)
class ChunkStamp:
    """What is signed of a chunk."""

    station_id: str
    epoch: UUID
    to_rev: int
    """The revision afterwards, from 0."""
    index: int
    """Place in the snapshot, from 0; 0 for a delta."""
    is_snapshot: bool
    sha256: bytes
    """The chunk's own digest, 32 bytes."""
    from_rev: int = 0
    """The revision before, from 0: a delta moved to an earlier one would skip a deletion."""
    span: int = 1
    """Parts of the snapshot in it, from 1; 0 in a repair."""

    def encoded(self) -> bytes:
        """Return the bytes that are signed."""
        return joined(
            b"gateline chunk 1",
            self.station_id.encode(),
            self.epoch.bytes,
            self.to_rev.to_bytes(8, "big"),
            self.index.to_bytes(4, "big"),
            b"snapshot" if self.is_snapshot else b"delta",
            self.sha256,
            self.from_rev.to_bytes(8, "big"),
            self.span.to_bytes(4, "big"),
        )


class CloudKey:
    """The cloud's Ed25519 key pair; the private half never leaves this object."""

    __slots__ = ("_private",)

    def __init__(self, private: bytes) -> None:
        """Take a private key of 32 random bytes.

        Raises:
            ValueError: It is not 32 bytes.
        """
        self._private = Ed25519PrivateKey.from_private_bytes(private)

    @property
    def public_key(self) -> bytes:
        """The public half, 32 bytes raw."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, stamp: ChunkStamp) -> bytes:
        """Return the signature of a chunk, 64 bytes."""
        return self._private.sign(stamp.encoded())

    def attest(self, digest: bytes) -> bytes:
        """Return the signature of a record's digest, 64 bytes; it is never one of a chunk."""
        return self._private.sign(joined(_RECORD, digest))


def is_attested(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Return whether the cloud has signed a record of this digest.

    Args:
        public_key: The cloud's, 32 bytes.
        digest: Made from the record as it was read.
        signature: As it was read with it.

    Raises:
        ValueError: The public key is none.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, joined(_RECORD, digest))
    except InvalidSignature:
        return False
    return True


class ChunkVerifier:
    """Checks chunks against the cloud's public key."""

    __slots__ = ("_public",)

    def __init__(self, public_key: bytes) -> None:
        """Take the public half, 32 bytes.

        Raises:
            ValueError: It is no public key.
        """
        self._public = Ed25519PublicKey.from_public_bytes(public_key)

    def is_genuine(self, stamp: ChunkStamp, signature: bytes) -> bool:
        """Return whether the cloud has signed this very chunk.

        Args:
            stamp: Made from the chunk as it arrived.
            signature: As it arrived with it.
        """
        try:
            self._public.verify(signature, stamp.encoded())
        except InvalidSignature:
            return False
        return True
