"""Picture files of unknown origin, read within bounds: no bomb is decoded to find its size."""

from pathlib import Path

import cv2
import numpy as np

from edge_gate.adapters.opencv import NotAnImage
from edge_gate.face import Image

_BYTES_MAX = 64_000_000
_PIXELS_MAX = 50_000_000
"""Decoded, 150 MB: the largest usual phone has 50 million pixels."""
_SIDE_MIN = 16
"""A smaller picture holds no face and breaks detectors that halve it five times."""
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU T.81 table B.1, start of frame


def load(path: Path, *, side_max: int = 1920) -> Image:
    """Read a JPEG or PNG, upright by its EXIF note, no side longer than `side_max`.

    Args:
        path: The file.
        side_max: Larger pictures are shrunk to this, pixels.

    Returns:
        BGR uint8, shape (H, W, 3).

    Raises:
        NotAnImage: The file cannot be read, is no whole JPEG or PNG, is smaller than 16 pixels
            or larger than 50 million.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise NotAnImage(f"{path.name}: larger than {_BYTES_MAX} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise NotAnImage(f"{path.name}: {error.strerror}") from error
    wide, high = declared_size(data)
    if min(wide, high) < _SIDE_MIN or wide * high > _PIXELS_MAX:
        raise NotAnImage(f"{path.name}: {wide} x {high} pixels are out of bounds")
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise NotAnImage(f"{path.name}: cannot be decoded") from error
    if image is None:
        raise NotAnImage(f"{path.name}: cannot be decoded")
    shrink = side_max / max(image.shape[:2])
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return image


def declared_size(data: bytes) -> tuple[int, int]:
    """Return width and height as the file's head says, without decoding.

    Raises:
        NotAnImage: Neither JPEG nor PNG, or cut off before its size.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not data.startswith(b"\xff\xd8"):
        raise NotAnImage("neither JPEG nor PNG")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _SOF:
            high = int.from_bytes(data[at + 5 : at + 7], "big")
            return int.from_bytes(data[at + 7 : at + 9], "big"), high
        at += 2 + length
    raise NotAnImage("a JPEG without a size")
