"""The access key: what a rider's browser or program proves itself with.

The key names the rider and holds 256 random bits; only its hash is stored, and the reference alone
opens nothing. This file does not know about cookies or headers.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from enroll.store import Dossier, RiderStore

SECRET_BYTES = 32

_NOBODY = hashlib.sha256(b"").digest()  # compared with when there is no such rider


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A rider's reference and secret."""

    ref: UUID
    secret: bytes
    """32 bytes."""

    def __repr__(self) -> str:
        """Show the rider alone: a key must not reach a log or a traceback."""
        return f"AccessKey(ref={self.ref})"

    def hash(self) -> bytes:
        """Return what is stored, 32 bytes; the secret is random, so no salt is needed."""
        return hashlib.sha256(self.secret).digest()

    def text(self) -> str:
        """Return the key as the rider keeps it: letters, digits, `-`, `_` and one dot."""
        secret = base64.urlsafe_b64encode(self.secret).rstrip(b"=").decode()
        return f"{self.ref.hex}.{secret}"


def parse(text: str) -> AccessKey | None:
    """Read a key; None when it is not one.

    Args:
        text: Whatever a client sent.
    """
    head, _, tail = text.strip().partition(".")
    try:
        ref = UUID(hex=head)
        secret = base64.b64decode(tail + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return AccessKey(ref, secret) if len(secret) == SECRET_BYTES else None


def opened(store: RiderStore, text: str) -> Dossier | None:
    """Return the dossier that a key opens, None if it opens none.

    Hashes are compared in constant time, and an unknown rider costs the same comparison.

    Args:
        store: The riders.
        text: Whatever a client sent as its key.
    """
    key = parse(text)
    if key is None:
        return None
    dossier = store.find(key.ref)
    known = dossier.key_hash if dossier else _NOBODY
    fits = hmac.compare_digest(known, key.hash())
    return dossier if fits else None
