"""The keys an edge node gets with its lease, wrapped so that this node alone can open them.

The node makes an X25519 key for the stream and says its public half; the cloud wraps the grant to
it (ephemeral X25519, HKDF-SHA-256, AES-256-GCM, the shape of RFC 9180's base mode), bound to
station, edge and epoch. A proxy that reads the stream, or a node that takes over another's, gets
nothing. Pure: where a node keeps its grant is behind the port in `cloud_sync.secrecy.vault`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloud_sync.fields import joined, split
from cloud_sync.secrecy.keys import KEY_BYTES
from cloud_sync.secrecy.rotation import RotationSeed
from cloud_sync.secrecy.seal import NONCE_BYTES

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_FORMAT = b"gateline grant 1"
_FIXED = 7
"""Fields before the rotations."""


class GrantRefused(ValueError):
    """The wrapped grant is not for this key, station, edge or epoch, or was changed."""


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a node needs to read its gallery, until the lease ends; secrets are not in `repr`."""

    station_id: str
    epoch: UUID
    """The history of the view; a new one needs a new grant."""
    key_id: str
    """The root key that the others come from, 8 hex digits."""
    data_key: bytes = field(repr=False)
    """Opens the templates, 32 bytes."""
    digest_key: bytes = field(repr=False)
    """Of the set hashes that are compared with the cloud, 32 bytes."""
    rotations: tuple[RotationSeed, ...]
    """One for each transform that a template of the view may have."""
    valid_until: datetime
    """Aware UTC, by the cloud's clock: the end of the lease. The node forgets the grant then."""

    def seed_of(self, transform_id: str) -> RotationSeed | None:
        """Return the seed of a transform; None when it is not granted, or is `plain`."""
        return next((each for each in self.rotations if each.transform_id == transform_id), None)


class StreamKey:
    """A node's X25519 key pair for one stream; the private half never leaves this object."""

    __slots__ = ("_private",)

    def __init__(self, private: bytes) -> None:
        """Take 32 random bytes.

        Raises:
            ValueError: They are not 32.
        """
        self._private = X25519PrivateKey.from_private_bytes(private)

    @property
    def public_key(self) -> bytes:
        """The public half, 32 bytes raw."""
        return self._private.public_key().public_bytes_raw()

    def shared_with(self, public_key: bytes) -> bytes:
        """Return the secret shared with another key pair, 32 bytes.

        Raises:
            ValueError: That is no public key, or one that gives everybody the same secret.
        """
        return self._private.exchange(X25519PublicKey.from_public_bytes(public_key))


def wrap(grant: KeyGrant, *, recipient: bytes, edge_id: str, ephemeral: bytes) -> bytes:
    """Return a grant that one node alone can open.

    Args:
        grant: The keys.
        recipient: The public half of the node's stream key, 32 bytes.
        edge_id: The node, proven.
        ephemeral: 32 random bytes, used for this one grant.

    Raises:
        GrantRefused: The recipient's key is none.
    """
    mine = StreamKey(ephemeral)
    try:
        shared = mine.shared_with(recipient)
    except ValueError as problem:
        raise GrantRefused("the node's stream key is none") from problem
    bound = _bound(grant.station_id, edge_id, grant.epoch)
    key, nonce = _key_and_nonce(shared, mine.public_key, recipient, bound)
    return mine.public_key + AESGCM(key).encrypt(nonce, grant_to_bytes(grant), bound)


def unwrap(
    wrapped: bytes, key: StreamKey, *, station_id: str, edge_id: str, epoch: UUID
) -> KeyGrant:
    """Return the grant that the cloud has wrapped to this node's key.

    Args:
        wrapped: What `wrap` has returned.
        key: The node's, of this stream.
        station_id: The node's station.
        edge_id: The node.
        epoch: The history that the grant is said to be for.

    Raises:
        GrantRefused: It is for another key, station, edge or epoch, or was changed.
    """
    sender, sealed = wrapped[:KEY_BYTES], wrapped[KEY_BYTES:]
    try:
        shared = key.shared_with(sender)
        bound = _bound(station_id, edge_id, epoch)
        aes, nonce = _key_and_nonce(shared, sender, key.public_key, bound)
        grant = grant_from_bytes(AESGCM(aes).decrypt(nonce, sealed, bound))
    except (InvalidTag, ValueError):
        raise GrantRefused("the grant does not open as this node's") from None
    if (grant.station_id, grant.epoch) != (station_id, epoch):
        raise GrantRefused("the grant is of another station or epoch")
    return grant


def grant_to_bytes(grant: KeyGrant) -> bytes:
    """Return a grant in plain, for the node's vault and for wrapping; never for a disk.

    Args:
        grant: The keys.
    """
    rotations = (each for seed in grant.rotations for each in (seed.rotation_id, seed.secret))
    micros = (grant.valid_until - _UNIX) // timedelta(microseconds=1)
    return joined(
        _FORMAT,
        grant.station_id.encode(),
        grant.epoch.bytes,
        grant.key_id.encode(),
        grant.data_key,
        grant.digest_key,
        micros.to_bytes(8, "big", signed=True),
        *(each if isinstance(each, bytes) else each.encode() for each in rotations),
    )


def grant_from_bytes(content: bytes) -> KeyGrant:
    """Return the grant that `grant_to_bytes` wrote.

    Args:
        content: The whole of it.

    Raises:
        GrantRefused: It is none; nothing of it is told.
    """
    try:
        return _grant(split(content))
    except (ValueError, OverflowError):
        raise GrantRefused("this is no grant") from None


def _grant(parts: tuple[bytes, ...]) -> KeyGrant:
    found, station, epoch, key_id, data, digest, micros = parts[:_FIXED]
    rotations = zip(parts[_FIXED::2], parts[_FIXED + 1 :: 2], strict=True)
    if found != _FORMAT or {len(data), len(digest)} != {KEY_BYTES}:
        raise ValueError("another format")
    return KeyGrant(
        station_id=station.decode(),
        epoch=UUID(bytes=epoch),
        key_id=key_id.decode(),
        data_key=data,
        digest_key=digest,
        rotations=tuple(RotationSeed(name.decode(), seed) for name, seed in rotations),
        valid_until=_UNIX + timedelta(microseconds=int.from_bytes(micros, "big", signed=True)),
    )


def _bound(station_id: str, edge_id: str, epoch: UUID) -> bytes:
    return joined(_FORMAT, station_id.encode(), edge_id.encode(), epoch.bytes)


def _key_and_nonce(
    shared: bytes, sender: bytes, recipient: bytes, bound: bytes
) -> tuple[bytes, bytes]:
    """Derive both: the ephemeral key is used once, so the nonce needs no randomness of its own."""
    info = joined(bound, sender, recipient)
    kdf = HKDF(SHA256(), KEY_BYTES + NONCE_BYTES, salt=None, info=info)
    made = kdf.derive(shared)
    return made[:KEY_BYTES], made[KEY_BYTES:]
