"""The edge node's signature, and the check of a run of taps that cloud and edge share.

Pure: where the key is kept is `cloud_sync.adapters.disk.node_key_file`'s business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloud_sync.taps.outbox import SealedTap, chained
from fare.tap import Tap


class NodeKey:
    """An edge node's Ed25519 key pair; the private half never leaves this object unasked."""

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

    def sign(self, digest: bytes) -> bytes:
        """Return the Ed25519 signature of a digest, 64 bytes."""
        return self._private.sign(digest)


def seal(key: NodeKey, outbox_id: UUID, seq: int, prev_hash: bytes, tap: Tap) -> SealedTap:
    """Return a tap in its place, signed.

    Args:
        key: The node's.
        outbox_id: The outbox.
        seq: The place, from 1.
        prev_hash: The digest of the tap before, 32 bytes.
        tap: The content.
    """
    signature = key.sign(chained(outbox_id, seq, prev_hash, tap))
    return SealedTap(outbox_id, seq, prev_hash, tap, signature)


@dataclass(frozen=True, slots=True)
class Intact:
    """The run continues the chain without a gap."""

    seq: int
    """The last place."""
    head: bytes
    """The digest of the last tap: the next one's `prev_hash`, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A tap is missing."""

    expected_seq: int
    found_seq: int


@dataclass(frozen=True, slots=True)
class Forked:
    """A tap continues another history, or another outbox, than the one before it."""

    seq: int


@dataclass(frozen=True, slots=True)
class Forged:
    """A tap's signature is not this node's over this content."""

    seq: int


Verdict = Intact | Gap | Forked | Forged


def verify_chain(
    taps: Iterable[SealedTap], *, outbox_id: UUID, after: Intact, public_key: bytes
) -> Verdict:
    """Check a run of one outbox against the tap before it.

    Args:
        taps: The run, in order.
        outbox_id: The outbox it must belong to.
        after: The end of what is known; `Intact(0, GENESIS)` for a new outbox.
        public_key: The edge node's, 32 bytes.

    Returns:
        `Intact` with the new end, or what is wrong with the first tap that does not fit.

    Raises:
        ValueError: The public key is not one.
    """
    key = Ed25519PublicKey.from_public_bytes(public_key)
    for sealed in taps:
        if sealed.outbox_id != outbox_id:
            return Forked(sealed.seq)
        if sealed.seq != after.seq + 1:
            return Gap(after.seq + 1, sealed.seq)
        if sealed.prev_hash != after.head:
            return Forked(sealed.seq)
        digest = sealed.digest()
        try:
            key.verify(sealed.signature, digest)
        except InvalidSignature:
            return Forged(sealed.seq)
        after = Intact(sealed.seq, digest)
    return after
