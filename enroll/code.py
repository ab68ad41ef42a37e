"""Ride codes: who may have one now, and the key that signs them.

The gate's own format is `edge_gate.ride_code`. This file does not know about QR symbols or HTTP.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_sync.gallery import IssuerKey
from edge_gate import ride_code
from enroll.stationing import allowed
from enroll.store import Dossier, IssuerSecret


@dataclass(frozen=True, slots=True)
class CodeConfig:
    """How long a ride code lives."""

    validity_s: int = 60
    """For how long a gate takes it, seconds, 1 to 120 (the gate's own limit)."""
    refresh_s: int = 25
    """How often the app fetches a new one, seconds, 1 to `validity_s`: the code on the screen
    always has more than half a minute left, enough to walk from the queue to the reader."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not 1 <= self.refresh_s <= self.validity_s <= 120:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class RideCode:
    """One code to show."""

    payload: bytes
    """What the symbol holds, 106 bytes."""
    issued_at: datetime
    expires: datetime
    """Aware UTC; a gate adds its allowance for clocks."""

    def __repr__(self) -> str:
        """Show the time alone: a code opens a gate and must not reach a log."""
        return f"RideCode(expires={self.expires.isoformat()})"


@dataclass(frozen=True, slots=True)
class NoCode:
    """The rider may have no code now."""

    reason: str
    """What the rider reads."""


def make_key(key_id: int, seed: bytes, made: datetime) -> IssuerSecret:
    """Return the key pair that belongs to 32 random bytes.

    Args:
        key_id: Its number, 0 to 65,535.
        seed: 32 random bytes.
        made: Now, aware UTC.
    """
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return IssuerSecret(key_id, seed, private.public_key().public_bytes_raw(), made)


def published(key: IssuerSecret) -> IssuerKey:
    """Return the half that stations get."""
    return IssuerKey(key.key_id, key.public)


def issue(
    dossier: Dossier, key: IssuerSecret, *, nonce: bytes, now: datetime, config: CodeConfig
) -> RideCode | NoCode:
    """Make the ride code that a rider shows now.

    A paused face does not stop it: the code is the other way in. Without the consent to pay there
    is nothing to charge, hence no code.

    Args:
        dossier: The rider.
        key: The issuer's.
        nonce: 16 fresh random bytes.
        now: Aware UTC.
        config: How long it lives.
    """
    if not allowed(dossier).charge:
        return NoCode("A ride code needs your consent to charge rides.")
    issued_at = now.replace(microsecond=0)  # the code holds whole seconds
    payload = ride_code.issue(
        Ed25519PrivateKey.from_private_bytes(key.seed),
        key_id=key.key_id,
        rider_ref=dossier.rider.ref,
        issued_at=issued_at,
        validity_s=config.validity_s,
        nonce=nonce,
    )
    return RideCode(payload, issued_at, issued_at + timedelta(seconds=config.validity_s))
