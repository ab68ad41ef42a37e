"""The ride code: 106 signed bytes that let one rider through one gate, checked without network.

Comes in: what the scanner read. Goes out: who may ride, or why not. This file does not know about
QR symbols, taps or barriers. A code names a rider by pseudonym only.

    magic 2 | version 1 | key id 2 | rider 16 | issued at 4 | validity 1 | nonce 16 | Ed25519 64
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloud_sync.gallery import IssuerKey
from edge_gate.reason import DenyReason

HEAD = b"GL\x01"
"""Magic and version; whatever starts otherwise is not ours."""
NONCE_BYTES = 16
_BODY = struct.Struct(">3sH16sIB16s")
_SIGNATURE_BYTES = 64
CODE_BYTES = _BODY.size + _SIGNATURE_BYTES
"""106: exactly what a QR symbol of version 6 holds at error correction M."""


@dataclass(frozen=True, slots=True)
class RideCodeConfig:
    """How strict the gate is about time."""

    skew_s: float = 5.0
    """Budget for the difference between the issuer's clock and the gate's, seconds, 0 to 60
    (reference/reliability.md, 3.5). A gate that knows itself to be further off judges no code."""
    validity_s_max: int = 120
    """A code is never good for longer than this after its making, whatever it says itself,
    seconds, 1 to 255: what a screenshot sent to a friend is worth."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not (0 <= self.skew_s <= 60 and 1 <= self.validity_s_max <= 255):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A genuine code of this moment; whether it was used before is `ReplayGuard`'s question."""

    rider_ref: UUID
    code_id: bytes
    """Key id (2 bytes) and nonce (16 bytes): unique over all issuers, 18 bytes."""
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Not a code that opens a gate."""

    reason: DenyReason


class KeyRing:
    """The issuer keys that a gate trusts now; made anew when the synced keys change."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[IssuerKey] = ()) -> None:
        """Read the keys.

        Raises:
            ValueError: A public key is not 32 bytes.
        """
        self._keys = {k.key_id: Ed25519PublicKey.from_public_bytes(k.public_key) for k in keys}

    def find(self, key_id: int) -> Ed25519PublicKey | None:
        """Return the key of this id; None when it is not trusted."""
        return self._keys.get(key_id)


def issue(
    key: Ed25519PrivateKey,
    *,
    key_id: int,
    rider_ref: UUID,
    issued_at: datetime,
    validity_s: int,
    nonce: bytes,
) -> bytes:
    """Make a code.

    Args:
        key: The issuer's.
        key_id: Its number, 0 to 65,535, as published to the stations.
        rider_ref: The rider's pseudonym.
        issued_at: Now, aware; kept in whole seconds until the year 2106.
        validity_s: For how long it is good, seconds, 1 to 255; gates may cut it shorter.
        nonce: 16 bytes of fresh randomness.

    Returns:
        106 bytes.

    Raises:
        ValueError: The nonce has another length, the time no zone, or a number does not fit.
    """
    if len(nonce) != NONCE_BYTES or issued_at.tzinfo is None or validity_s < 1:
        raise ValueError("needs a nonce of 16 bytes, an aware time and a validity from 1 s")
    try:
        body = _BODY.pack(
            HEAD, key_id, rider_ref.bytes, int(issued_at.timestamp()), validity_s, nonce
        )
    except struct.error as error:
        raise ValueError(f"does not fit the code: {error}") from error
    return body + key.sign(body)


def verify(
    payload: bytes,
    keys: KeyRing,
    now: datetime,
    config: RideCodeConfig,
    *,
    clock_error_ms: int = 0,
) -> Accepted | Refused:
    """Judge what a scanner read; never raises, whatever the bytes.

    The signature is checked before any field but the key id is believed. The window is
    `-skew <= now - issued_at <= validity + skew`, both ends included.

    Args:
        payload: The symbol's bytes, of any length.
        keys: The trusted issuers.
        now: The gate's clock, aware.
        config: The limits.
        clock_error_ms: How far off that clock is known to be.

    Returns:
        `Accepted`, or `Refused` with CODE_FOREIGN, CODE_TRUNCATED, CODE_FORGED, CLOCK_UNSURE,
        CODE_FUTURE or CODE_EXPIRED.
    """
    if not HEAD.startswith(payload[: len(HEAD)]):
        return Refused(DenyReason.CODE_FOREIGN)
    if len(payload) != CODE_BYTES:
        return Refused(DenyReason.CODE_TRUNCATED)
    body, signature = payload[: _BODY.size], payload[_BODY.size :]
    _, key_id, rider, issued_s, validity_s, nonce = _BODY.unpack(body)
    key = keys.find(key_id)
    if key is None:
        return Refused(DenyReason.CODE_FOREIGN)
    try:
        key.verify(signature, body)
    except InvalidSignature:
        return Refused(DenyReason.CODE_FORGED)
    age_s = None if clock_error_ms > 1000 * config.skew_s else now.timestamp() - issued_s
    untimely = _untimely(age_s, validity_s, config)
    if untimely is not None:
        return Refused(untimely)
    return Accepted(
        rider_ref=UUID(bytes=rider),
        code_id=key_id.to_bytes(2, "big") + nonce,
        issued_at=datetime.fromtimestamp(issued_s, tz=UTC),
    )


def _untimely(age_s: float | None, validity_s: int, config: RideCodeConfig) -> DenyReason | None:
    if age_s is None:
        return DenyReason.CLOCK_UNSURE
    if age_s < -config.skew_s:
        return DenyReason.CODE_FUTURE
    if age_s > min(validity_s, config.validity_s_max) + config.skew_s:
        return DenyReason.CODE_EXPIRED
    return None


class ReplayGuard:
    """The last codes that opened a gate of this node; memory is bounded, no clock is asked.

    A clock that jumps forward and back would bring forgotten codes to life, so codes are forgotten
    by number, not by age: with 20,000 places a code is forgotten only after 20,000 later ones,
    long past its two minutes. Another station's gates cannot be asked offline; the cloud finds
    two taps of one code.
    """

    __slots__ = ("_capacity", "_used")

    def __init__(self, *, capacity: int = 20_000) -> None:
        """Start empty.

        Args:
            capacity: How many codes are remembered, from 1; about 150 bytes each.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def used(self, code_id: bytes) -> bool:
        """Return whether this code opened a gate before."""
        return code_id in self._used

    def remember(self, code_id: bytes) -> None:
        """Note that this code has opened a gate: call once its tap is durable."""
        self._used[code_id] = None
        self._used.move_to_end(code_id)
        while len(self._used) > self._capacity:
            self._used.popitem(last=False)
