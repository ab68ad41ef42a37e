"""The camera that a browser feeds."""

import threading

import numpy as np

from edge_gate.adapters.opencv import encode
from edge_gate.adapters.push_camera import PushCamera


def _picture(shade: int) -> bytes:
    return encode(np.full((48, 64, 3), shade, np.uint8), suffix=".png")


class TestPushCamera:
    """`PushCamera`."""

    def test_hands_on_the_newest_picture_only(self) -> None:
        """A picture that was overtaken is dropped, and its number is missing."""
        camera = PushCamera()

        assert camera.offer(_picture(10))
        assert camera.offer(_picture(200))
        frame = camera.read()

        assert frame is not None
        assert (frame.number, int(frame.image[0, 0, 0])) == (1, 200)

    def test_refuses_what_is_no_picture(self) -> None:
        """Text, an empty body or a file beyond the limit changes nothing."""
        camera = PushCamera()

        assert not camera.offer(b"hello")
        assert not camera.offer(b"")
        assert not camera.offer(bytes(2_000_000))

    def test_refuses_a_small_file_with_a_huge_picture(self) -> None:
        """A picture of ten million pixels in 20 kB is refused before it is decoded."""
        bomb = encode(np.zeros((2_500, 4_001, 3), np.uint8), suffix=".png")
        camera = PushCamera()

        assert len(bomb) < 100_000
        assert not camera.offer(bomb)
        assert camera.offer(encode(np.zeros((1_080, 1_920, 3), np.uint8)))

    def test_close_wakes_a_waiting_reader(self) -> None:
        """A reader that waits for a picture ends when the camera is closed."""
        camera = PushCamera()
        seen: list[object] = []
        reader = threading.Thread(target=lambda: seen.append(camera.read()))
        reader.start()

        camera.close()
        reader.join(5)

        assert seen == [None]
        assert not camera.offer(_picture(10))
