"""Ids made of an injected moment and injected randomness."""

from datetime import datetime
from uuid import UUID

ENTROPY_BYTES = 10
"""What `uuid7` needs: 74 of these 80 bits end up in the id."""


def uuid7(now: datetime, entropy: bytes) -> UUID:
    """Return a UUID of version 7 (RFC 9562, 5.7): sorted by millisecond, else random.

    Args:
        now: Aware; a clock before 1970 counts as 1970.
        entropy: 10 random bytes.

    Raises:
        ValueError: The time has no zone, or there are not 10 bytes.
    """
    if now.tzinfo is None or len(entropy) != ENTROPY_BYTES:
        raise ValueError("needs an aware time and 10 random bytes")
    millis = max(0, int(now.timestamp() * 1000)) & ((1 << 48) - 1)
    rand_a = int.from_bytes(entropy[:2], "big") & 0x0FFF
    rand_b = int.from_bytes(entropy[2:], "big") & ((1 << 62) - 1)
    return UUID(int=millis << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
