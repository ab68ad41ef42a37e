"""The bootstrap token: one edge's way in, good once, for an hour at most, at one station.

An operator makes it and types it at the node. The cloud stores its hash: whoever reads the table
cannot join with it. The token has 192 random bits, so a plain hash is enough and guessing is not.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cloud_sync.trust.device import Identity

TOKEN_BYTES = 24
"""Random bytes in a token."""
VALIDITY_MAX = timedelta(hours=1)
"""The longest a token may be good (reference/reliability.md, 2.7)."""


def written(secret: bytes) -> str:
    """Return a token as an operator types it: lower case letters and digits.

    Args:
        secret: `TOKEN_BYTES` random bytes.
    """
    return base64.b32encode(secret).decode("ascii").rstrip("=").lower()


def digest_of(token: str) -> bytes:
    """Return what is stored of a token, 32 bytes.

    Args:
        token: As typed; spaces around it and its case do not count.
    """
    return hashlib.sha256(b"gateline bootstrap token 1" + token.strip().lower().encode()).digest()


@dataclass(frozen=True, slots=True)
class Token:
    """What the cloud keeps of a token."""

    digest: bytes
    """See `digest_of`."""
    identity: Identity
    """Whom it lets in, and where."""
    expires: datetime
    """Aware UTC."""
    used_by: bytes | None = None
    """Digest of the key that it was used for, 32 bytes; None while it is fresh."""


def made(secret: bytes, identity: Identity, now: datetime, *, validity: timedelta) -> Token:
    """Return a fresh token.

    Args:
        secret: `TOKEN_BYTES` random bytes.
        identity: Whom it lets in, and where.
        now: Aware UTC.
        validity: Above 0, `VALIDITY_MAX` at most.

    Raises:
        ValueError: The validity is out of its range, or the secret too short.
    """
    if len(secret) < TOKEN_BYTES:
        raise ValueError(f"a token needs {TOKEN_BYTES} random bytes")
    if not timedelta(0) < validity <= VALIDITY_MAX:
        raise ValueError("a token is good for an hour at most")
    return Token(digest_of(written(secret)), identity, now + validity)


class TokenFlaw(StrEnum):
    """Why a token lets nobody in; the words go into the audit, never to the caller."""

    UNKNOWN = "unknown"
    """No such token was made."""
    EXPIRED = "expired"
    """Its time is up."""
    USED = "used"
    """It has let in another key."""
    WRONG_NODE = "wrong_node"
    """It was made for another edge or station than the node says it is."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A node that asks to be let in; that it holds both keys was proven."""

    identity: Identity
    """Who it says it is, by its own configuration."""
    key_digest: bytes
    """SHA-256 of its TLS key, 32 bytes."""
    tap_key: bytes
    """What its taps are signed with, Ed25519, 32 bytes."""


def flaw_of(token: Token | None, applicant: Applicant, now: datetime) -> TokenFlaw | None:
    """Return why a token does not let an applicant in; None when it does.

    A node that lost the answer may ask again with the same key: nobody else gains by it.

    Args:
        token: As stored; None when there is none.
        applicant: Who asks.
        now: Aware UTC.
    """
    if token is None:
        return TokenFlaw.UNKNOWN
    if token.used_by not in (None, applicant.key_digest):
        return TokenFlaw.USED
    if now >= token.expires:
        return TokenFlaw.EXPIRED
    if token.identity != applicant.identity:
        return TokenFlaw.WRONG_NODE
    return None
