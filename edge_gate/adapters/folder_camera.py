"""A folder of pictures, shown one after the other at a given rate."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from edge_gate.adapters import picture_file
from edge_gate.adapters.metronome import Metronome
from edge_gate.adapters.opencv import NotAnImage
from edge_gate.camera import CameraLost
from edge_gate.face import Frame, Image
from fare.log import say

_LOG = logging.getLogger(__name__)
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class FolderCamera:
    """Shows every JPEG and PNG of a folder, by name, once or for ever.

    A file that is no picture, too small or too large is told once a round and passed over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fps: float = 5.0,
        repeat: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """List the folder.

        Args:
            folder: Where the pictures are.
            fps: Pictures a second, above 0 to 120.
            repeat: Whether to begin again at the end.
            clock: Monotonic seconds.
            sleep: Waits for so many seconds of that clock.

        Raises:
            CameraLost: There is no such folder, or no picture in it.
        """
        if not 0 < fps <= 120:
            raise ValueError("fps is above 0 to 120")
        try:
            files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
        except OSError as error:
            raise CameraLost(f"{folder.name}: {error.strerror}") from error
        if not files:
            raise CameraLost(f"{folder.name}: no pictures in it")
        self._files, self._repeat = files, repeat
        self._metronome = Metronome(fps, clock=clock, sleep=sleep)
        self._next = 0
        self._closed = False

    def read(self) -> Frame | None:
        """Wait until the next picture is due; None at the end or once closed.

        Raises:
            CameraLost: A whole round held nothing that can be shown.
        """
        image = self._picture()
        if image is None or self._closed:
            return None
        return self._metronome.frame(image)

    def close(self) -> None:
        """Show no more."""
        self._closed = True

    def _picture(self) -> Image | None:
        """Return the next picture that can be shown; None after the last."""
        for _ in self._files:
            if self._next == len(self._files):
                if not self._repeat:
                    break
                self._next = 0
            path = self._files[self._next]
            self._next += 1
            try:
                return picture_file.load(path)
            except NotAnImage as error:
                say(_LOG, "picture_skipped", level=logging.WARNING, why=str(error))
        if self._metronome.given == 0:
            raise CameraLost("nothing in the folder can be shown")
        return None
