"""A camera whose frames are pushed to it, e.g. by the browser of somebody trying a lane.

For demonstrations: a gate's own camera is wired to the node. Frames stay in memory.
"""

import threading
import time

from edge_gate.adapters.opencv import NotAnImage, decode
from edge_gate.adapters.picture_file import declared_size
from edge_gate.face import Frame

_BYTES_MAX = 1_000_000
"""Largest picture taken; a 640x480 JPEG at quality 90 has about 100 kB."""
_PIXELS_MAX = 8_500_000
"""Most pixels decoded, a 4K camera's: a PNG within the bytes can declare a thousand million."""


class PushCamera:
    """Hands on the newest picture that was offered; an older one is dropped."""

    def __init__(self) -> None:
        """Begin with no picture."""
        self._arrived = threading.Condition()
        self._newest: Frame | None = None
        self._count = 0
        self._closed = False

    def offer(self, picture: bytes) -> bool:
        """Take a JPEG or PNG as the next frame.

        Args:
            picture: The file's bytes.

        Returns:
            False if it is too large, no JPEG or PNG, or the camera is closed; then it is dropped.
        """
        if len(picture) > _BYTES_MAX:
            return False
        try:
            wide, high = declared_size(picture)
            if wide * high > _PIXELS_MAX:
                return False
            image = decode(picture)
        except NotAnImage:
            return False
        with self._arrived:
            if self._closed:
                return False
            self._newest = Frame(image, self._count, time.monotonic())
            self._count += 1
            self._arrived.notify()
            return True

    def read(self) -> Frame | None:
        """Wait for the next offered picture; None once closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._closed or self._newest is not None)
            frame, self._newest = self._newest, None
            return None if self._closed else frame

    def close(self) -> None:
        """Wake the reader and take no more pictures."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
