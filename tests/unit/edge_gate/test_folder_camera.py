"""A folder of pictures, good and bad."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.adapters import picture_file
from edge_gate.adapters.folder_camera import FolderCamera
from edge_gate.adapters.opencv import NotAnImage
from edge_gate.camera import CameraLost


def png_head(wide: int, high: int) -> bytes:
    """Make a PNG that declares a size and holds next to nothing: a decompression bomb's head."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(wide: int = 64, high: int = 48, level: int = 128) -> bytes:
    """Make a plain JPEG."""
    picture = np.full((high, wide, 3), level, np.uint8)
    return bytes(cv2.imencode(".jpg", picture)[1])


def with_exif(picture: bytes, note: bytes) -> bytes:
    """Put an EXIF segment into a JPEG."""
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + picture[2:]


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
LOOPED = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff" * 800

BAD: dict[str, bytes] = {
    "empty.png": b"",
    "text.jpg": b"this is not a picture",
    "tiny.png": bytes(cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1]),
    "huge.png": png_head(16_384, 16_384),
    "vast.png": png_head(2**31 - 1, 2**31 - 1),
    "cut.jpg": jpeg()[:100],
    "cut.png": png_head(640, 480),
}


class TestFolderCamera:
    """Pictures as frames."""

    def test_shows_pictures_by_name_at_its_rate(self, tmp_path: Path) -> None:
        """Three pictures at 4 a second come in order, a quarter second apart, then the end."""
        for name, level in (("b.png", 100), ("a.jpg", 20), ("c.jpeg", 200)):
            cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), level, np.uint8))
        (tmp_path / "notes.txt").write_text("not shown")
        now_s = [5.0]
        camera = FolderCamera(
            tmp_path, fps=4, clock=lambda: now_s[0],
            sleep=lambda s: now_s.__setitem__(0, now_s[0] + s),
        )  # fmt: skip

        frames = [camera.read() for _ in range(4)]

        shown = [(round(float(f.image.mean()), -1), f.arrival_s) for f in frames if f is not None]
        assert shown == [(20, 5.0), (100, 5.25), (200, 5.5)]
        assert frames[3] is None

    def test_repeats_on_wish(self, tmp_path: Path) -> None:
        """A repeated folder never ends."""
        (tmp_path / "a.jpg").write_bytes(jpeg())
        camera = FolderCamera(tmp_path, repeat=True, sleep=lambda _: None)

        assert list(range(5)) == [f.number for _ in range(5) if (f := camera.read()) is not None]

    @pytest.mark.parametrize("name", BAD)
    def test_passes_over_a_bad_file(self, tmp_path: Path, name: str) -> None:
        """A file that is no usable picture is passed over; the good ones beside it are shown."""
        (tmp_path / name).write_bytes(BAD[name])
        (tmp_path / "z.jpg").write_bytes(jpeg())
        camera = FolderCamera(tmp_path, sleep=lambda _: None)

        first, second = camera.read(), camera.read()

        assert first is not None
        assert first.image.shape == (48, 64, 3)
        assert second is None

    def test_nothing_usable_is_a_lost_camera(self, tmp_path: Path) -> None:
        """A folder of nothing but bad files says so instead of ending quietly."""
        (tmp_path / "bad.png").write_bytes(b"")

        with pytest.raises(CameraLost, match="nothing"):
            FolderCamera(tmp_path, repeat=True).read()

    @pytest.mark.parametrize("make", [lambda p: p, lambda p: p / "none"])
    def test_refuses_an_empty_or_missing_folder(
        self, tmp_path: Path, make: Callable[[Path], Path]
    ) -> None:
        """Without pictures there is no camera."""
        with pytest.raises(CameraLost):
            FolderCamera(make(tmp_path))


class TestPictureFile:
    """One file within bounds."""

    def test_turns_a_phone_photo_upright(self, tmp_path: Path) -> None:
        """The EXIF note of orientation is applied."""
        (tmp_path / "a.jpg").write_bytes(with_exif(jpeg(64, 48), TURNED))

        assert picture_file.load(tmp_path / "a.jpg").shape == (64, 48, 3)

    def test_a_broken_exif_note_is_ignored(self, tmp_path: Path) -> None:
        """An EXIF table that claims thousands of endless entries harms nothing."""
        (tmp_path / "a.jpg").write_bytes(with_exif(jpeg(64, 48), LOOPED))

        assert picture_file.load(tmp_path / "a.jpg").shape == (48, 64, 3)

    def test_shrinks_what_is_large(self, tmp_path: Path) -> None:
        """A picture of 6,000 pixels is shown at the largest side a lane needs."""
        (tmp_path / "a.jpg").write_bytes(jpeg(6000, 1500))

        assert picture_file.load(tmp_path / "a.jpg").shape == (480, 1920, 3)

    def test_reads_the_size_without_decoding(self) -> None:
        """The heads of JPEG and PNG tell the same size as decoding does."""
        assert picture_file.declared_size(jpeg(64, 48)) == (64, 48)
        assert picture_file.declared_size(with_exif(jpeg(64, 48), LOOPED)) == (64, 48)
        assert picture_file.declared_size(png_head(16_384, 9)) == (16_384, 9)

    @given(st.binary(max_size=64), st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b""]))
    def test_any_bytes_have_a_size_or_are_refused(self, noise: bytes, head: bytes) -> None:
        """No bytes whatever do more than be refused."""
        try:
            wide, high = picture_file.declared_size(head + noise)
        except NotAnImage:
            return
        assert wide >= 0
        assert high >= 0
