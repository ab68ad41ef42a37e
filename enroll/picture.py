"""What an uploaded file says about itself, read before any decoder touches it.

Comes in: bytes from a stranger. Goes out: kind and size in pixels, or a reason to refuse. Reads
JPEG, PNG and WebP containers end to end, so a truncated file or a decompression bomb is refused
without decoding a single pixel.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum


class PictureFault(StrEnum):
    """Why the bytes are not taken as a picture."""

    NOT_AN_IMAGE = "not_an_image"
    """None of the formats that are read."""
    TRUNCATED = "truncated"
    """Begins like a picture but does not end like one."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A complete container of a known kind."""

    kind: str
    """`jpeg`, `png` or `webp`."""
    width: int
    """Pixels, before the orientation in EXIF is applied."""
    height: int
    """Pixels, before the orientation in EXIF is applied."""


def inspect(data: bytes) -> Picture | PictureFault:
    """Read the container of a picture.

    Args:
        data: The whole file.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return PictureFault.NOT_AN_IMAGE


_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU T.81 table B.1, start of frame
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and restarts: markers without a length


def _jpeg(data: bytes) -> Picture | PictureFault:
    size: tuple[int, int] | None = None
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return PictureFault.TRUNCATED
        marker = data[at + 1]
        if marker == 0xD9:  # end of image; phones append films after it
            return Picture("jpeg", *size) if size else PictureFault.NOT_AN_IMAGE
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x00 or marker in _BARE:  # a stuffed byte of the entropy-coded data
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            return PictureFault.TRUNCATED
        if marker in _SOF and length >= 8:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            size = int.from_bytes(data[at + 7 : at + 9], "big"), height
        at += 2 + length


def _png(data: bytes) -> Picture | PictureFault:
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if end > len(data):
            break
        kind = data[at + 4 : at + 8]
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            break
        if kind == b"IEND":
            return Picture("png", width, height)
        at = end
    return PictureFault.TRUNCATED


def _webp(data: bytes) -> Picture | PictureFault:
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data):
        return PictureFault.TRUNCATED
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        wide, high = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        wide, high = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return PictureFault.NOT_AN_IMAGE
    return Picture("webp", wide, high)
