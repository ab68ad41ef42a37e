"""Templates as ciphertext: AES-256-GCM bound to whose they are and where they belong.

A record that is moved to another rider, station, epoch, version, model or transform does not
open, nor does one that was changed or cut. Opening fails as `NotOpened`, which says nothing of
the content. Nonces come in as arguments; each is used once under a key (random ones are good for
2^32 records of one key, NIST SP 800-38D, 8.3; an epoch has a few million).
"""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_sync.fields import joined
from cloud_sync.gallery import Template

NONCE_BYTES = 12
"""96 bits, the length that GCM is made for (SP 800-38D, 5.2.1.1)."""
TAG_BYTES = 16
"""128 bits, the whole tag."""


class NotOpened(ValueError):
    """This ciphertext is not what it is said to be, or not under this key."""


class Label(NamedTuple):
    """What a sealed template is said to be."""

    rider: bytes
    """The rider's reference, 16 bytes."""
    version: int
    model_id: str
    transform_id: str


def label_of(template: Template) -> Label:
    """Return what a template is sealed as.

    Args:
        template: Everything but the vector is read from it.
    """
    rider = template.rider_ref.bytes
    return Label(rider, template.version, template.model_id, template.transform_id)


def template_label(label: Label) -> bytes:
    """Return what is authenticated beside a template: rider, version, model, transform.

    In this order; what has no fixed length stands behind its length.

    Args:
        label: Whose it is, and what.
    """
    rider, version, model_id, transform_id = label
    return rider + version.to_bytes(4, "big") + _space_bytes(model_id, transform_id)


@lru_cache(maxsize=64)
def _space_bytes(model_id: str, transform_id: str) -> bytes:
    """Return both names joined: the same for all templates of a view."""
    return joined(model_id.encode(), transform_id.encode())


class StationCipher:
    """Seals and opens the templates of one station and epoch; may be used by several threads.

    Keep it as long as the epoch: setting up AES takes as long as a record.
    """

    __slots__ = ("_aead", "_head")

    def __init__(self, data_key: bytes, *, station_id: str, epoch: UUID) -> None:
        """Take the key of a station and epoch.

        Args:
            data_key: 32 bytes, see `keys.data_key`.
            station_id: The station.
            epoch: The view's history.
        """
        self._aead = AESGCM(data_key)
        # Authenticated beside each record, before its label.
        self._head = joined(b"gateline template 1", station_id.encode(), epoch.bytes)

    def seal(self, packed: bytes, label: Label, *, nonce: bytes) -> bytes:
        """See `seal_vector`."""
        return nonce + self._aead.encrypt(nonce, packed, self._head + template_label(label))

    def open(self, sealed: bytes, label: Label) -> bytes:
        """See `open_vector`."""
        return opened(self._aead, sealed, self._head + template_label(label))


def seal_vector(cipher: StationCipher, packed: bytes, label: Label, *, nonce: bytes) -> bytes:
    """Return nonce, ciphertext and tag of a template's packed vector: 28 bytes more.

    Args:
        cipher: The station's and epoch's.
        packed: float16 little-endian values, see `content.pack`.
        label: Whose it is, and what.
        nonce: 12 bytes, never used before under this key.
    """
    return cipher.seal(packed, label, nonce=nonce)


def open_vector(cipher: StationCipher, sealed: bytes, label: Label) -> bytes:
    """Return the packed vector of a template.

    Args:
        cipher: The station's and epoch's.
        sealed: What `seal_vector` has returned.
        label: Whose it is said to be, and what.

    Raises:
        NotOpened: It is somebody else's, of another station, epoch, version, model or transform,
            was changed, or is under another key.
    """
    return cipher.open(sealed, label)


def opened(aead: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    """Return the content of nonce, ciphertext and tag.

    Args:
        aead: The key.
        sealed: 28 bytes and more.
        associated: What was authenticated beside it.

    Raises:
        NotOpened: It does not open.
    """
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise NotOpened(f"{len(sealed)} bytes are no sealed record")
    try:
        return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag:
        raise NotOpened("the record does not open as what it is said to be") from None
