"""What no log may hold, looked for in every form in which it could get there."""

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_PIECE = 12
"""Bytes of a secret that are looked for: an accident in 2^96."""

_SHAPES = {
    # A SHA-256 in hex has 64 digits and may be told; a template has 2,048, a key and its digest
    # look alike and are told apart by their value.
    "long hex": re.compile(r"[0-9A-Fa-f]{65,}"),
    "long base64": re.compile(r"[A-Za-z0-9+/_-]{120,}"),
    "numbers in a row": re.compile(r"(?:-?\d*\.\d+(?:[eE][-+]?\d+)?[\s,;\[\]()]+){5,}"),
    "escaped bytes": re.compile(r"(?:\\\\?x[0-9a-f]{2}[^\\]{0,2}){6,}"),
    "raw bytes": re.compile(r"[\udc80-\udcff\x00-\x08\x0e-\x1f\ufffd]"),
    "an array": re.compile(r"\barray\(|\bdtype=|<PIL|\bndarray\b"),
}
"""What a vector, a picture or a ciphertext looks like when nobody meant to write it."""


def forms(secret: bytes) -> Iterable[str]:
    """Give how the beginning of a secret reads as hex, base64 (at each offset), text and `repr`."""
    piece = secret[:_PIECE]
    yield piece.hex()
    yield piece.hex().upper()
    yield repr(piece)[2:-1]
    yield piece.decode("latin-1")
    yield piece.decode("utf-8", "surrogateescape")
    yield str(list(piece))[1:-1]
    for offset in range(3):
        coded = base64.b64encode(secret[offset : offset + _PIECE])
        yield coded.decode()
        yield coded.decode().replace("+", "-").replace("/", "_")


def leaks(text: str, secrets: Mapping[str, bytes]) -> set[str]:
    """Return the names of secrets, and of shapes, that a log shows.

    Args:
        text: As read with `surrogateescape`.
        secrets: By name; at least 12 bytes each.
    """
    found = {name for name, secret in secrets.items() for form in forms(secret) if form in text}
    return found | {name for name, shape in _SHAPES.items() if shape.search(text)}


def keys_below(folder: Path) -> dict[str, bytes]:
    """Return all private keys that lie in files below a folder, by file."""
    return {str(path.relative_to(folder)): _secret(path) for path in folder.rglob("*.key")}


def _secret(path: Path) -> bytes:
    """Read a key in hex, or the end of one in PEM, whose beginning is the same for all."""
    text = path.read_text("ascii").strip()
    if not text.startswith("-----BEGIN"):
        return bytes.fromhex(text)
    body = [line for line in text.splitlines() if not line.startswith("-----")]
    return base64.b64decode("".join(body))[-32:]


def read(path: Path) -> str:
    """Return a log as text, whatever bytes are in it."""
    return path.read_text("utf-8", "surrogateescape")
