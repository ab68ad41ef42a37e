"""Containers of pictures, read without decoding."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from enroll.picture import Picture, PictureFault, inspect

NOISE = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def encoded(suffix: str, *options: int) -> bytes:
    """Give noise of 80 by 60 pixels as a file."""
    good, content = cv2.imencode(suffix, NOISE, list(options))
    assert good
    return bytes(content)


FILES = {
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarting jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "png": encoded(".png"),
    "webp": encoded(".webp"),
    "lossless webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
}


class TestInspect:
    """Kind and size, or what is wrong."""

    @pytest.mark.parametrize("name", FILES)
    def test_whole_files(self, name: str) -> None:
        """A complete file tells its kind and its size."""
        found = inspect(FILES[name])

        assert found == Picture(name.rsplit(maxsplit=1)[-1], 80, 60)

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
    def test_truncated(self, name: str, kept: float) -> None:
        """A file cut anywhere after its head is truncated, even where a decoder would make do."""
        content = FILES[name]

        assert inspect(content[: int(len(content) * kept)]) is PictureFault.TRUNCATED

    @pytest.mark.parametrize("name", ["jpeg", "png"])
    def test_something_after_the_end(self, name: str) -> None:
        """What phones append after the picture does no harm."""
        assert isinstance(inspect(FILES[name] + b"a film"), Picture)

    def test_damaged_png(self) -> None:
        """A PNG with a flipped bit in its pixels fails its checksum."""
        content = bytearray(FILES["png"])
        content[len(content) // 2] ^= 1

        assert inspect(bytes(content)) is PictureFault.TRUNCATED

    @pytest.mark.parametrize(
        "content", [b"", b"GIF89a" + bytes(50), b"<svg/>", b"%PDF-1.7", bytes(100), b"RIFF1234WAVE"]
    )
    def test_other_files(self, content: bytes) -> None:
        """Nothing but JPEG, PNG and WebP is taken."""
        assert inspect(content) is PictureFault.NOT_AN_IMAGE

    def test_bomb_tells_its_size(self) -> None:
        """A PNG of a gigapixel in a few bytes is measured without being unpacked."""
        head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
        parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in parts
        )

        assert inspect(bomb) == Picture("png", 40_000, 40_000)

    def test_any_bytes(self) -> None:
        """No input makes it raise: 2,000 files with random damage give a picture or a fault."""
        dice = np.random.default_rng(5)
        for number in range(2_000):
            content = bytearray(list(FILES.values())[number % len(FILES)])
            for place in dice.integers(0, len(content), 8):
                content[place] = int(dice.integers(0, 256))
            assert isinstance(inspect(bytes(content)), Picture | PictureFault)
