"""Several byte strings as one, so that no two lists of them look alike.

What is authenticated beside a ciphertext, and what a key is derived for, is written this way:
plain concatenation would let `ab` + `c` stand for `a` + `bc`.
"""

_SIZE = 4
"""Bytes of a length, big endian."""


def joined(*parts: bytes) -> bytes:
    """Return each part behind its length, 4 bytes big endian."""
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(_SIZE, "big"), part))


def split(content: bytes) -> tuple[bytes, ...]:
    """Return the parts that `joined` was given.

    Args:
        content: The whole, nothing before or after it.

    Raises:
        ValueError: It breaks off.
    """
    parts: list[bytes] = []
    place = 0
    while place < len(content):
        start = place + _SIZE
        size = int.from_bytes(content[place:start], "big")
        place = start + size
        if start > len(content) or place > len(content):
            raise ValueError("the fields break off")
        parts.append(content[start:place])
    return tuple(parts)
