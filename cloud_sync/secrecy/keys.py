"""Root keys, and every key that is derived from one.

A root key never encrypts anything itself. What it is used for is written into the derivation
(HKDF-SHA-256, RFC 5869), so a key of one station, epoch or purpose says nothing about another's.
Pure: where root keys are kept is behind the port in `cloud_sync.secrecy.key_store`.
"""

import re
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloud_sync.fields import joined

KEY_BYTES = 32
"""Of every symmetric key: AES-256 and HMAC-SHA-256 take as many."""
KEY_ID_BYTES = 4
"""Of a key's id: it names a key among the few that an operator has, and guards nothing."""

_KEY_ID = re.compile(rf"[0-9a-f]{{{2 * KEY_ID_BYTES}}}")


@dataclass(frozen=True, slots=True)
class RootKey:
    """A key that other keys are derived from; its `repr` shows the id alone."""

    key_id: str
    """8 hex digits; never used for two keys."""
    secret: bytes = field(repr=False)
    """32 random bytes."""

    def __post_init__(self) -> None:
        """Refuse what is no key; the message holds nothing of it.

        Raises:
            ValueError: The id or the secret has another shape.
        """
        check_key_id(self.key_id)
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a root key has {KEY_BYTES} bytes, not {len(self.secret)}")


def check_key_id(key_id: str) -> None:
    """Refuse an id that could not stand in a record or a file's name.

    Args:
        key_id: 8 hex digits in lower case.

    Raises:
        ValueError: It is something else.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"a key id is {2 * KEY_ID_BYTES} hex digits")


def data_key(root: RootKey, *, station_id: str, epoch: UUID) -> bytes:
    """Return the key of a station's templates on wire and edge disk, 32 bytes.

    Args:
        root: The root key of the view.
        station_id: The station.
        epoch: The view's history; a new one has a new key.
    """
    return _derived(root, b"data", station_id.encode(), epoch.bytes)


def digest_key(root: RootKey, *, station_id: str, epoch: UUID) -> bytes:
    """Return the key of the set hashes that cloud and edge compare, 32 bytes.

    Args:
        root: The root key of the view.
        station_id: The station.
        epoch: The view's history.
    """
    return _derived(root, b"digest", station_id.encode(), epoch.bytes)


def at_rest_key(root: RootKey, purpose: str) -> bytes:
    """Return the key of the cloud's own records of one purpose, 32 bytes.

    Args:
        root: The root key that the record names.
        purpose: The table and column, e.g. `cloud_sync.view_item.body`.
    """
    return _derived(root, b"at rest", purpose.encode())


def _derived(root: RootKey, *info: bytes) -> bytes:
    # No salt: the input is uniformly random already (RFC 5869, 3.1 and 3.3).
    kdf = HKDF(SHA256(), KEY_BYTES, salt=None, info=joined(b"gateline 1", *info))
    return kdf.derive(root.secret)
